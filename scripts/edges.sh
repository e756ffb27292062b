#!/usr/bin/env bash
# Runs inputs that the program once got wrong against a build, and says of each whether the fault shows.
#   scripts/edges.sh REV          builds that revision in a temporary folder
#   scripts/edges.sh --dist DIR   takes a build that is there
# CASE... after that runs only those.
# Exit code 1 when a fault shows, 2 when it cannot run. Needs curl; root for one case, which is left out without it.
set -u -o pipefail
here=$(cd "$(dirname "$0")" && pwd)
inputs=$here/edges
root=$(mktemp -d)
trap 'rm -rf "$root"; [ ! -e "$here/../.git" ] || git -C "$here" worktree prune' EXIT

case ${1:-} in
  --dist) program=$(realpath "${2:?--dist DIR}/main.js") || exit 2 ;;
  "") sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 2 ;;
  *)
    git -C "$here" worktree add -q --detach "$root/source" "$1" || exit 2
    (cd "$root/source" && npm ci --ignore-scripts --no-audit --no-fund && npm run build) >"$root/build.log" 2>&1 ||
      { cat "$root/build.log"; exit 2; }
    program=$root/source/dist/main.js ;;
esac

# Each case runs in a subshell of its own, in a folder of its own ($W), with a port of its own. It returns 0 when all is
# well, 1 when the fault shows, 77 when it cannot be tried here, and prints one line about what it saw.

simulate() { # SCENARIO, run by what follows
  mkdir -p "$W/sock"
  "${@:2}" node "$program" simulate "$1" --socket-dir "$W/sock" 2>/dev/null & host=$!
  until [ -S "$W/sock/vmmd.sock" ] && [ -S "$W/sock/stat.sock" ]; do sleep 0.1; done
}
start() { # ARGUMENTS of serve
  (cd "$W" && exec node "$program" "$@" 2>>"$W/log") & exporter=$!
}
serve() { start --config.file "$W/c.yaml"; await is_healthy; }
await() { # COMMAND that is to succeed within 15 s
  local end=$((SECONDS + 15))
  while [ $SECONDS -lt $end ]; do "$@" && return; sleep 0.2; done
  return 1
}
is_healthy() { [ "$(curl -s -o "$W/health" -w '%{http_code}' --max-time 3 "127.0.0.1:$port/-/healthy")" = 200 ]; }
metric() { curl -s --max-time 5 "127.0.0.1:$port/metrics" | grep -E "^$1"; }
ended_within() { # SECONDS: whether the exporter ends by then; its exit code is in $code
  for _ in $(seq $(($1 * 10))); do kill -0 $exporter 2>/dev/null || break; sleep 0.1; done
  kill -0 $exporter 2>/dev/null && { code=none; return 1; }
  wait $exporter; code=$?
}

hears_hangup() { [ $((0x$(awk '/SigCgt/ { print $2 }' "/proc/$exporter/status") & 1)) = 1 ]; }
hangup_at_start() {
  # From the first line of the program on: before it, Node itself is not guarded.
  NODE_OPTIONS="--import=data:text/javascript,import{writeFileSync}from'node:fs';writeFileSync('$W/loaded','')" start --config.file "$W/c.yaml"
  await test -e "$W/loaded"; for _ in $(seq 25); do hears_hangup && break; sleep 0.01; done
  for _ in $(seq 60); do kill -HUP $exporter 2>/dev/null; sleep 0.02; done
  await is_healthy; kill -TERM $exporter 2>/dev/null
  ended_within 6; echo "exit code $code after TERM"; [ "$code" = 0 ]
}
hangup_at_stop() {
  serve; kill -TERM $exporter
  for _ in $(seq 50); do kill -HUP $exporter 2>/dev/null; sleep 0.01; done
  ended_within 6; echo "exit code $code after TERM and HUP"; [ "$code" = 0 ]
}
other_signals() {
  serve
  for signal in USR1 USR2 ALRM VTALRM PIPE; do kill -$signal $exporter; sleep 0.3; done
  kill -0 $exporter 2>/dev/null || { echo "ended by a signal"; return 1; }
  grep -q "Debugger listening" "$W/log" && { echo "USR1 opens a debugger"; return 1; }
  echo "all ignored"; is_healthy
}
reload_is_refused() {
  local said=albatross_exporter_config_last_reload_successful
  kill -HUP $exporter; await metric "$said 0" >"$W/said"; metric "$said"
  metric "$said 0" >"$W/said" && [ -n "$(metric 'albatross_up{host="edge"} 1')" ]
}
config_vanishes() {
  cp "$W/c.yaml" "$W/config.yaml"; start --web.listen-address "127.0.0.1:$port"; await is_healthy
  mv "$W/config.yaml" "$W/elsewhere"; reload_is_refused
}
config_empty() { serve; : >"$W/c.yaml"; reload_is_refused; }
config_is_a_pipe() { serve; rm "$W/c.yaml"; mkfifo "$W/c.yaml"; reload_is_refused; }
config_is_a_folder() { serve; rm "$W/c.yaml"; mkdir "$W/c.yaml"; reload_is_refused; }
log_reader_stands_still() {
  mkfifo "$W/pipe"; (exec 9<"$W/pipe"; sleep 25) &
  node "$program" --config.file "$W/c.yaml" 2>"$W/pipe" & exporter=$!
  await is_healthy || { echo "never healthy"; return 1; }
  for i in $(seq 900); do echo "k$i: 1"; done >"$W/c.yaml"; kill -HUP $exporter; sleep 3
  is_healthy || { echo "no answer"; return 1; }
  kill -TERM $exporter
  ended_within 6 || { echo "TERM is not followed within 6 s"; return 1; }
  echo "answers, exit code $code after TERM"; [ "$code" = 0 ]
}
host_started_in_the_future() {
  kill $host; sleep 0.3; rm -rf "$W/sock"
  simulate "$inputs/busy.yaml" env SHIFT_MS=3600000 NODE_OPTIONS="--import=$inputs/shiftClock.mjs"
  sed -i 's/warmup_period: 0s/warmup_period: 5s/' "$W/c.yaml"; serve; sleep 16
  local state; state=$(metric 'albatross_scaler_group_state'); echo "$state"
  [[ $state == *web* && $state != *no_data* && $state != *incomplete_data* ]]
}
state_from_the_future() {
  sed -i 's/scale_up_trigger_ticks: 2/scale_up_trigger_ticks: 3/' "$W/c.yaml"; mkdir "$W/state"
  node -e '
    const { readFileSync, writeFileSync } = require("node:fs");
    const [from, to] = process.argv.slice(1);
    const state = JSON.parse(readFileSync(from, "utf8"));
    const laterMs = Date.now() + 3600e3 - state.time_ms;
    const shift = (_key, value) => (_key.endsWith("_ms") && typeof value === "number" ? value + laterMs : value);
    writeFileSync(to, JSON.stringify(state, shift));
  ' "$inputs/state-from-the-future.json" "$W/state/scaler-state.json"
  serve; sleep 6.5
  grep -oE 'scale decision.*' "$W/log" | cut -c1-80 && return 1
  grep -oE 'state loaded.*' "$W/log" | cut -c1-80
}
decision_log_torn() {
  [ "$(id -u)" = 0 ] && mkdir "$W/state" && mount -t tmpfs -o size=16k tmpfs "$W/state" 2>/dev/null || { echo "needs root"; return 77; }
  kill $host; sleep 0.3; rm -rf "$W/sock"; simulate "$inputs/flap.yaml"
  sed -i 's/cooldown_period: 20s/cooldown_period: 1s/' "$W/c.yaml"; serve; sleep 9; kill -TERM $exporter; wait $exporter
  node -e '
    const { appendFileSync, statSync } = require("node:fs");
    const [file] = process.argv.slice(1);
    const room = 4096 - (statSync(file).size % 4096) - 60;
    appendFileSync(file, `${JSON.stringify({ note: "x".repeat(room - 12) })}\n`);
  ' "$W/state/decisions.ndjson"
  head -c "$(($(stat -f -c '%f*%S' "$W/state")))" /dev/zero >"$W/state/filler"
  serve; sleep 13; local failures; failures=$(metric albatross_scaler_decision_log_write_failures_total)
  rm "$W/state/filler"; sleep 12; kill -TERM $exporter; wait $exporter
  local torn; torn=$(node -e '
    const lines = require("node:fs").readFileSync(process.argv[1], "utf8").trim().split("\n");
    const isTorn = (line) => { try { JSON.parse(line); return false; } catch { return true; } };
    console.log(`${lines.filter(isTorn).length} of ${lines.length} lines torn`);
  ' "$W/state/decisions.ndjson")
  umount "$W/state"; echo "$torn, ${failures:-failures are not counted}"
  [[ $torn == "0 of"* && -n $failures && $failures != *" 0" ]]
}
unread_answers() {
  sed -i 's/^web:/web:\n  write_timeout: 3s/' "$W/c.yaml"; serve
  local before after slowest=0 took
  resident() { awk '/VmRSS/ { print int($2 / 1024) }' "/proc/$exporter/status"; }
  before=$(resident)
  node "$inputs/slowReader.mjs" "$port" /api/v1/status/config 20 2000 & reader=$!
  for _ in $(seq 12); do
    took=$(curl -s -o /dev/null -w '%{time_total}' --max-time 20 "127.0.0.1:$port/metrics")
    slowest=$(printf '%s\n' "$slowest" "$took" | sort -g | tail -1); sleep 0.7
  done
  after=$(resident); kill $reader
  echo "$before MB, then $after MB; slowest scrape ${slowest} s; $(metric 'albatross_exporter_responses_cut_total' | awk '{ n += $2 } END { print n + 0 }') cut"
  [ $((after - before)) -lt 100 ] && [ "${slowest%.*}" -lt 10 ] && metric 'albatross_exporter_responses_cut_total.* [1-9]' >/dev/null
}
play() { # SCRIPT in place of the host's statistics, beside its unikernel info
  mkdir "$W/mixed"; ln -s "$W/sock/vmmd.sock" "$W/mixed/vmmd.sock"
  sed -i "s#socket_dir: .*#socket_dir: $W/mixed\n    os: freebsd#" "$W/c.yaml"
  node "$inputs/fakeStats.mjs" "$W/mixed" "$inputs/$1" & sleep 0.7; serve
}
small_decrease() {
  play small-decrease.json; sleep 16
  local restarts; restarts=$(metric 'albatross_vm_restarts_total.*web'); echo "$restarts"; [[ $restarts == *" 0" ]]
}
spike() {
  play spike.json; local highest=0 restarts=0 usage
  for _ in $(seq 32); do
    usage=$(metric 'albatross_vm_cpu_usage_percent.*web' | awk '{ print $2 }')
    highest=$(printf '%s\n' "$highest" "${usage:-0}" | sort -g | tail -1)
    restarts=$(metric 'albatross_vm_restarts_total.*web' | awk -v n="$restarts" '$2 > n { n = $2 } END { print n }'); sleep 0.5
  done
  echo "at most $highest %, $restarts restarts"; [ "${highest%.*}" -gt 0 ] && [ "${highest%.*}" -lt 50 ]
}
record_onto_torn() {
  serve; sleep 2; local name
  for name in a.ndjson a.ndjson.gz; do
    node "$program" record --url "http://127.0.0.1:$port" --duration 2s -o "$W/$name" >"$W/said" 2>&1
    truncate -s -20 "$W/$name"
    node "$program" record --url "http://127.0.0.1:$port" --duration 2s -o "$W/$name" >"$W/said" 2>&1 || { echo "$name: $(tail -1 "$W/said")"; return 1; }
    node "$program" backtest --config.file "$W/c.yaml" "$W/$name" >"$W/said" 2>&1 || { echo "$name: $(tail -1 "$W/said")"; return 1; }
    grep -E 'skipped lines +[1-9]|damaged|middle' "$W/said" && return 1
  done
  echo "both are read back whole"
}
gap_of_years() {
  local time
  for time in 1970-12-06T10:25:31.760Z 1970-12-06T10:25:33.756Z 2026-11-22T10:25:33.756Z 2026-11-22T10:25:35.756Z; do
    echo "{\"time\":\"$time\",\"host\":\"edge\",\"header\":{\"name\":\"user:web\"},\"payload\":{\"rusage\":{\"utime\":{\"sec\":\"1\",\"usec\":0},\"stime\":{\"sec\":\"0\",\"usec\":0}}}}"
  done >"$W/gap.ndjson"
  timeout 10 node "$program" backtest --config.file "$W/c.yaml" "$W/gap.ndjson" >"$W/said" 2>&1; local rc=$?
  echo "exit code $rc (124 is longer than 10 s): $(tail -1 "$W/said" | cut -c1-80)"; [ $rc = 0 ]
}
is_refused() { # TEXT of a configuration
  echo "$1" >"$W/bad.yaml"; node "$program" check-config "$W/bad.yaml" >"$W/said" 2>&1; local rc=$?
  echo "exit code $rc: $(head -1 "$W/said" | sed 's/.*bad.yaml//' | cut -c1-90)"; [ $rc = 1 ]
}
listen_any_and_loopback() { is_refused 'web: {listen_addresses: [":21012", "127.0.0.1:21012"]}'; }
proto_key() { is_refused '__proto__: {a: 1}'; }
proto_key_in_policy() { is_refused 'scaler: {policies: [{match: "user:web", __proto__: {max_clones: 50}}]}'; }
telemetry_path_dots() { is_refused 'web: {telemetry_path: /../metrics}'; }
listen_both_families() {
  sed -i "s#listen_addresses: .*#listen_addresses: [\"0.0.0.0:$port\", \"[::]:$port\"]#" "$W/c.yaml"; serve
  is_healthy && curl -s -o "$W/health" --max-time 3 "http://[::1]:$port/-/healthy" && { echo "both answer"; return 0; }
  grep -E 'cannot listen' "$W/log" | head -1 | cut -c1-100; return 1
}
unknown_parameter() {
  serve; local status; status=$(curl -s -o "$W/said" -w '%{http_code}' "127.0.0.1:$port/api/v1/decisions?hots=a")
  echo "$status: $(cut -c1-100 "$W/said")"; [ "$status" = 400 ]
}

run() { # CASE PORT
  W=$root/$1; port=$2; mkdir "$W"
  trap 'kill -9 $(jobs -p) 2>/dev/null; umount "$W/state" 2>/dev/null' EXIT
  sed -e "s#WORK#$W#g" -e "s#PORT#$port#" "$inputs/exporter.yaml" >"$W/c.yaml"
  simulate "$inputs/busy.yaml"
  "$1" >"$W/saw" 2>/dev/null
  echo "$? $(head -1 "$W/saw")" >"$root/$1.verdict"
}

cases=(hangup_at_start hangup_at_stop other_signals config_vanishes config_empty config_is_a_pipe config_is_a_folder
  log_reader_stands_still host_started_in_the_future state_from_the_future decision_log_torn unread_answers small_decrease spike
  record_onto_torn gap_of_years listen_any_and_loopback listen_both_families proto_key proto_key_in_policy telemetry_path_dots
  unknown_parameter)
[ $# -gt 2 ] && cases=("${@:3}")
port=$((20000 + RANDOM % 8000))
for name in "${cases[@]}"; do
  while [ "$(jobs -rp | wc -l)" -ge 3 ]; do wait -n; done
  (run "$name" "$port") 2>"$root/$name.stderr" &
  port=$((port + 1))
done
wait

faults=0
printf '%-28s | %-9s | %s\n' case verdict "what was seen"
for name in "${cases[@]}"; do
  read -r code saw <"$root/$name.verdict"
  case $code in 0) verdict=ok ;; 77) verdict="not tried" ;; *) verdict=FAULT; faults=$((faults + 1)) ;; esac
  printf '%-28s | %-9s | %s\n' "$name" "$verdict" "$saw"
done
echo "$faults of ${#cases[@]} cases show the fault"
[ "$faults" = 0 ]
