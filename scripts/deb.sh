#!/bin/sh
# npm run deb [-- FOLDER]: a Debian package of the program as `npm run build` left it, with the Node that runs here and the
# modules of this checkout, which are what the tests ran on. Prints the package's name; it lies in FOLDER, else here. Its
# maintainer is whoever builds it: DEBFULLNAME and DEBEMAIL, as with Debian's own tools.
set -eu
umask 022
cd "$(dirname "$0")/.."

name=albatross-exporter
version=$(node -p 'require("./package.json").version')
about=$(node -p 'require("./package.json").description')
node=$(node -p process.execPath)
to=$(realpath "${1:-.}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root lib=$work/root/usr/lib/$name share=$work/root/usr/share/$name doc=$work/root/usr/share/doc/$name
mkdir -p "$root/DEBIAN" "$lib" "$share" "$doc"

cp -R dist package.json "$lib"
install -m 755 "$node" "$lib/node"
# What the program depends on, without what Node never reads.
npm ls --omit=dev --all --parseable | tail -n +2 | while read -r module; do
  place=$lib/${module#"$PWD"/}
  mkdir -p "$(dirname "$place")"
  cp -R "$module" "$(dirname "$place")"
done
find "$lib/node_modules" -type d \( -name test -o -name tests -o -name benchmarks -o -name examples \) -prune \
  -exec rm -rf {} +
rm -rf "$lib"/node_modules/echarts/dist "$lib"/node_modules/zrender/dist
find "$lib" -type f \( -name '*.map' -o -name '*.ts' -o -name '*.mts' -o -name '*.cts' \
  -o -name '*.md' ! -iname 'licen[cs]e*' \) -delete

install -D -m 755 /dev/stdin "$root/usr/bin/$name" <<END
#!/bin/sh
exec /usr/lib/$name/node /usr/lib/$name/dist/main.js "\$@"
END
install -D -m 644 config.yaml "$root/etc/$name/config.yaml"
echo "/etc/$name/config.yaml" >"$root/DEBIAN/conffiles"
for unit in deploy/*.service deploy/*.socket; do
  [ ! -e "$unit" ] || install -D -m 644 "$unit" "$root/usr/lib/systemd/system/$(basename "$unit")"
done

cp -R grafana/dashboards grafana/provisioning "$share"
install -D -m 644 -t "$share/alerts" alerts/*.yml
install -m 644 deploy/prometheus.yml deploy/socket-activation.conf deploy/web-config.yaml "$share"
cp -R docs README.md "$doc"
gzip -9n <CHANGELOG.md >"$doc/CHANGELOG.md.gz"
# --help, for man(1)
mkdir -p "$root/usr/share/man/man1"
{
  printf '.TH ALBATROSS-EXPORTER 1 "" "%s"\n.SH NAME\n%s \\- %s\n.SH SYNOPSIS\n.nf\n' "$version" "$name" "$about"
  "$node" dist/main.js --help | sed 's/\\/\\e/g; s/-/\\-/g; s/^\([.'"'"']\)/\\\&\1/'
  printf '.fi\n.SH SEE ALSO\nalbatross\\-exporter help COMMAND, /usr/share/doc/%s\n' "$name"
} | gzip -9n >"$root/usr/share/man/man1/$name.1.gz"
{
  printf 'Files: *\nLicense: MIT\n\n' && cat LICENSE
  printf '\nFiles: /usr/lib/%s/node_modules/*\nLicense: of each in its folder\n' "$name"
  printf '\nFiles: /usr/lib/%s/node\nSource: %s\n\n' "$name" "$(node -p process.release.sourceUrl)"
  for licence in "$(dirname "$node")/../LICENSE" "$(dirname "$node")/../share/doc/nodejs/LICENSE"; do
    [ ! -e "$licence" ] || { cat "$licence" && break; }
  done
} >"$doc/copyright"

for script in postinst prerm postrm; do install -m 755 deploy/debian/maintainer.sh "$root/DEBIAN/$script"; done
# The newest version of a symbol of glibc that this Node asks for.
glibc=$(grep -aoE 'GLIBC_2\.[0-9]+' "$node" | sort -uV | tail -n 1)
cat >"$root/DEBIAN/control" <<END
Package: $name
Version: $version
Architecture: $(dpkg --print-architecture)
Maintainer: ${DEBFULLNAME:-$(id -un)} <${DEBEMAIL:-$(id -un)@$(uname -n)}>
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f 1)
Depends: libc6 (>= ${glibc#GLIBC_}), libgcc-s1, libstdc++6, passwd
Suggests: albatross, prometheus
Section: net
Priority: optional
Description: $about
 It reads what albatross-stats and albatrossd tell about unikernels and VMs,
 serves it to Prometheus, and decides which groups of clones should grow or
 shrink.
 .
 The package brings a Node of its own: $(node --version), which it was tested on.
END
chmod -R u=rwX,go=rX "$root"
# The same commit on the same machine gives the same bytes.
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2>/dev/null || date +%s)}"
export SOURCE_DATE_EPOCH
dpkg-deb --root-owner-group --build -Zxz "$root" "$to" >&2
echo "$to/${name}_${version}_$(dpkg --print-architecture).deb"
