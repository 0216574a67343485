#!/bin/sh
# Foreground; MARU names the binary.
mkdir -p @ROOT@/data/maru-public/static
cp @ROOT@/http/common/www/file10k.txt @ROOT@/data/maru-public/static/
exec "${MARU:?MARU must name the binary}" serve --set state.dir=@ROOT@/data/maru-state \
  --set http.listen=127.0.0.1:18005 --set https.listen=127.0.0.1:18105 --set public.dir=@ROOT@/data/maru-public \
  --set plugins.path=@ROOT@/http/maru/plugins --set plugins.watch=false --set log.level=warn
