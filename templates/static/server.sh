# Makes `serve-static FOLDER`: nginx on $PORT, as an ordinary user, logging to the container's own streams.
set -eu
rm -rf /etc/nginx/sites-enabled /etc/nginx/modules-enabled /var/www/html
cat > /etc/nginx/slipway.conf <<'CONF'
worker_processes 1;
daemon off;
pid /tmp/nginx/pid;
error_log stderr warn;
events { worker_connections 1024; }
http {
    include /etc/nginx/mime.types;
    types { text/javascript mjs; application/wasm wasm; application/manifest+json webmanifest; font/woff2 woff2; image/avif avif; text/markdown md; }
    default_type application/octet-stream;
    charset utf-8;
    charset_types text/css text/plain text/javascript application/javascript text/markdown application/json;
    client_body_temp_path /tmp/nginx/body;
    proxy_temp_path /tmp/nginx/proxy;
    fastcgi_temp_path /tmp/nginx/fastcgi;
    uwsgi_temp_path /tmp/nginx/uwsgi;
    scgi_temp_path /tmp/nginx/scgi;
    log_format line '$request_method $request_uri $status $body_bytes_sent';
    access_log /dev/stdout line;
    server_tokens off;
    absolute_redirect off;
    sendfile on;
    tcp_nopush on;
    gzip on;
    gzip_vary on;
    gzip_min_length 1024;
    gzip_proxied any;
    gzip_types text/css text/plain text/javascript application/javascript application/json image/svg+xml application/xml application/wasm;
    server {
        listen @PORT@;
        root @ROOT@;
        index index.html index.htm;
        disable_symlinks if_not_owner from=@ROOT@;
        add_header Cache-Control "no-cache";
        # Never the files that describe the app, nor what starts with a dot.
        location ~ /\.(?!well-known/) { return 404; }
        location ~ ^/(Procfile|Staticfile|app\.yaml)$ { return 404; }
        location / { try_files $uri $uri/ $uri.html @FALLBACK@; }
        error_page 404 @MISSING@;
        @MISSING_RULE@
    }
}
CONF
cat > /usr/local/bin/serve-static <<'RUN'
#!/bin/sh
set -eu
root=/app/${1:-.}
case "${PORT:-}" in ''|*[!0-9]*) echo "PORT must be a number" >&2; exit 2 ;; esac
mkdir -p /tmp/nginx
fallback='=404'; [ ! -f "$root/200.html" ] || fallback='/200.html'
missing='/404.html'; rule='location = /404.html { internal; }'
[ -f "$root/404.html" ] || { missing='404'; rule=''; }
sed -e "s|@PORT@|$PORT|" -e "s|@ROOT@|$root|g" -e "s|@FALLBACK@|$fallback|" -e "s|@MISSING_RULE@|$rule|" \
    -e "s|error_page 404 @MISSING@;|$([ "$missing" = 404 ] || echo "error_page 404 $missing;")|" /etc/nginx/slipway.conf > /tmp/nginx/conf
exec nginx -c /tmp/nginx/conf -e stderr
RUN
chmod 0755 /usr/local/bin/serve-static
