#!/bin/sh
# postinst, prerm and postrm of the Debian package: DPKG_MAINTSCRIPT_NAME says which of them dpkg runs.
set -e
name=albatross-exporter
unit=$name.service
running() { [ -d /run/systemd/system ]; }

case "$DPKG_MAINTSCRIPT_NAME $1" in
  "postinst configure")
    getent group "$name" >/dev/null || groupadd --system "$name"
    getent passwd "$name" >/dev/null ||
      useradd --system --gid "$name" --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "$name"
    if getent group albatross >/dev/null; then
      usermod --append --groups albatross "$name"
    else
      echo "$name: there is no group albatross, to which Albatross' sockets belong. Once there is one:" >&2
      echo "  usermod --append --groups albatross $name && systemctl restart $name" >&2
    fi
    deb-systemd-helper unmask "$unit" >/dev/null
    if deb-systemd-helper --quiet was-enabled "$unit"; then
      deb-systemd-helper enable "$unit" >/dev/null
    else
      deb-systemd-helper update-state "$unit" >/dev/null
    fi
    if running; then
      systemctl --system daemon-reload
      # $2 is the version before, on an upgrade
      deb-systemd-invoke "$([ -n "$2" ] && echo restart || echo start)" "$unit" || true
    fi
    ;;
  "prerm remove" | "prerm deconfigure")
    if running; then deb-systemd-invoke stop "$unit" || true; fi
    ;;
  "postrm remove")
    if running; then systemctl --system daemon-reload; fi
    deb-systemd-helper mask "$unit" >/dev/null
    ;;
  "postrm purge")
    # The user stays: its number must not become somebody else's.
    rm -rf "/var/lib/$name"
    if command -v deb-systemd-helper >/dev/null; then
      deb-systemd-helper purge "$unit" >/dev/null
      deb-systemd-helper unmask "$unit" >/dev/null
    fi
    ;;
esac
