#!/usr/bin/env bash
# What a container runs: `node.sh head` starts Ray and deploys the application, `node.sh worker HOST` joins a head, and
# joins again after the head was started again. A head that dies ends the container.
# SIGTERM finishes what is in flight first; other nodes take a worker's place. Ray's token comes from RAY_AUTH_TOKEN or
# RAY_AUTH_TOKEN_PATH.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

ROLE=${1:-head}
GCS_PORT=6379
DASHBOARD_PORT=8265
METRICS_PORT=${METRICS_PORT:-8080}
# Ray would take a third of the memory, and put it on disk where a container's /dev/shm is smaller.
OBJECT_STORE_BYTES=${OBJECT_STORE_BYTES:-1073741824}

main() {
    trap stop TERM INT
    mkdir -p /tmp/ray
    find /tmp/ray -maxdepth 1 -name 'session_2*' -mtime +7 -exec rm -rf {} + # of nodes before this one
    show_logs
    # Settings are variables; a secret that is mounted as a file becomes one here and is in no file of ours.
    if [[ -n ${REDIS_PASSWORD_FILE:-} ]]; then
        NLLB__CACHE__REDIS__PASSWORD=$(<"$REDIS_PASSWORD_FILE")
        export NLLB__CACHE__REDIS__PASSWORD
    fi
    case $ROLE in
        # The dashboard and the job server stay on loopback unless told otherwise.
        head)
            start --head --port="$GCS_PORT" --dashboard-host="${DASHBOARD_HOST:-127.0.0.1}" --dashboard-port="$DASHBOARD_PORT"
            until takes_deployments; do
                kill -0 "$NODE" 2>/dev/null || give_up
                sleep 1
            done
            serve deploy "${SERVE_CONFIG:-serve_config.yaml}"
            wait "$NODE" || true
            give_up
            ;;
        worker)
            : "${2:?name the head: node.sh worker HOST}"
            while true; do
                start --address="$2:$GCS_PORT"
                wait "$NODE" || true
                sleep 2
            done
            ;;
        *)
            echo "node.sh: '$ROLE' is no role: head and worker are" >&2
            exit 2
            ;;
    esac
}

# The service's lines on the output of the container, where rsyslog is at hand, to the last one.
show_logs() {
    command -v rsyslogd >/dev/null || return 0
    mkdir -p /tmp/ray/rsyslog
    rsyslogd -n -i NONE -f cluster/logs.conf > >(cat) & # by a pipe: /dev/stdout may be another user's
    local reader=$!
    # shellcheck disable=SC2064  # this reader
    trap "sleep 2; kill $reader && wait $reader || true" EXIT # it reads the last lines meanwhile
}

# Ray, as a process that ends when its node is dead.
start() {
    ray start "$@" --metrics-export-port="$METRICS_PORT" --object-store-memory="$OBJECT_STORE_BYTES" \
        --disable-usage-stats --block &
    NODE=$!
}

takes_deployments() {
    (: <"/dev/tcp/127.0.0.1/$DASHBOARD_PORT") 2>/dev/null
}

give_up() {
    echo "node.sh: Ray has ended by itself" >&2
    exit 1
}

stop() {
    if [[ $ROLE == head ]]; then
        python -m deployments.drain || true
    else
        python -m deployments.drain --node || true
    fi
    ray stop --grace-period 30
    exit 0
}

main "$@"
