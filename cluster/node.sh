#!/usr/bin/env bash
# What a container runs: `node.sh head` starts Ray and deploys the application, `node.sh worker HOST` joins a head.
# SIGTERM finishes what is in flight first; other nodes take a worker's place. Ray's token comes from RAY_AUTH_TOKEN or
# RAY_AUTH_TOKEN_PATH.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

ROLE=${1:-head}
GCS_PORT=6379
METRICS_PORT=${METRICS_PORT:-8080}

main() {
    trap stop TERM INT
    # Settings are variables; a secret that is mounted as a file becomes one here and is in no file of ours.
    if [[ -n ${REDIS_PASSWORD_FILE:-} ]]; then
        NLLB__CACHE__REDIS__PASSWORD=$(<"$REDIS_PASSWORD_FILE")
        export NLLB__CACHE__REDIS__PASSWORD
    fi
    case $ROLE in
        # The dashboard and the job server stay on loopback unless told otherwise.
        head)
            ray start --head --port="$GCS_PORT" --dashboard-host="${DASHBOARD_HOST:-127.0.0.1}" \
                --metrics-export-port="$METRICS_PORT" --disable-usage-stats
            serve deploy "${SERVE_CONFIG:-serve_config.yaml}"
            ;;
        worker)
            until ray start --address="${2:?name the head: node.sh worker HOST}:$GCS_PORT" \
                --metrics-export-port="$METRICS_PORT" --disable-usage-stats; do
                sleep 2
            done
            ;;
        *)
            echo "node.sh: '$ROLE' is no role: head and worker are" >&2
            exit 2
            ;;
    esac
    while true; do
        sleep 86400 &
        wait $!
    done
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
