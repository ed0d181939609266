# Compiles the standard library once: an app's first build takes it from here, which is most of what such a build would do.
set -eu
export GOCACHE=/usr/local/share/go-cache GOTOOLCHAIN=local GOTELEMETRY=off
go build -trimpath std
