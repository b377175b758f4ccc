#!/bin/sh
# Installs the Debian packages that the tests and the bench need; does nothing when they are there.
# usage: tests/support/packages.sh [client|fault|bench]...   (all groups when none is named)
#
# No service is started: a policy-rc.d that says no stands there while apt works, unless the machine has its own.
set -eu

clients="chromium swaks msmtp curl mutt neomutt isync offlineimap3 getmail6 fetchmail mpop mblaze s-nail ca-certificates"
faults="gcc libc6-dev mount procps iproute2 nftables"
bench="postfix dovecot-core dovecot-lmtpd dovecot-pop3d dovecot-imapd openssl"

wanted=""
for group in "${@:-client fault bench}"; do
    for word in $group; do
        case "$word" in
            client) wanted="$wanted $clients" ;;
            fault) wanted="$wanted $faults" ;;
            bench) wanted="$wanted $bench" ;;
            *) echo "packages.sh: no such group: $word (client, fault, bench)" >&2; exit 64 ;;
        esac
    done
done

missing=""
for package in $wanted; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
    echo "packages.sh: these packages are missing and only root can install them:$missing" >&2
    exit 77
fi

policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
install_them() {
    # shellcheck disable=SC2086
    apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 $missing >/dev/null
}
# The package lists of a fresh machine may be absent or old: fetch them once and try again.
install_them 2>/dev/null || { apt-get update -qq && install_them; }
