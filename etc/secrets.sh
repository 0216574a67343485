#!/bin/sh
# secrets.sh [FOLDER]: makes the secrets that compose.yaml and kubernetes/ name, once; what is there already stays.
# The folder is its owner's alone. The files can be read by all, for in a container others than the owner read them.
set -eu
umask 077
folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder"
chmod 700 "$folder"

# put NAME TEXT
put() {
  [ -e "$folder/$1" ] && return
  printf '%s\n' "$2" >"$folder/$1.new"
  chmod 444 "$folder/$1.new"
  mv "$folder/$1.new" "$folder/$1"
}

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

for name in postgres_password redis_password elastic_password minio_password grafana_password; do
  put "$name" "$(random)"
done
put postgres_url "postgresql://maru:$(cat "$folder/postgres_password")@postgres:5432/maru"
put redis_url "redis://maru:$(cat "$folder/redis_password")@redis:6379/0"
put redis_users "user default off
user maru on >$(cat "$folder/redis_password") ~* &* +@all"
