#!/bin/sh
# Makes the secrets that compose.yaml hands over as files. What exists already stays.
set -eu
cd "$(dirname "$0")"
mkdir -p secrets
# Others cannot enter the folder. The files are open: the users in the containers are not yours.
chmod 700 secrets

random() { head -c 32 /dev/urandom | base64 | tr -d '+/=\n'; }

keep() {
    if [ ! -e "secrets/$1" ]; then
        cat >"secrets/$1"
        chmod 444 "secrets/$1"
    fi
}

random | keep postgres_password
random | keep licet_password
random | keep licet_audit_key
printf 'postgresql+psycopg://licet:%s@postgres/licet' "$(cat secrets/licet_password)" | keep database_url

for name in jwt_verification_key openai_api_key; do
    [ -s "secrets/$name" ] || echo "still to be written by you: $(pwd)/secrets/$name"
done
