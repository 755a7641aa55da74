#!/bin/sh
# Generates the .pb.go files from the .proto files here, or into the same place under $1. Wants
# protoc (the Debian package protobuf-compiler); its plugin is pinned in go.mod.
#
# protoc is run from the root of the repository because the path it is given
# becomes the file's name in the registry of every protobuf package linked into
# the program, where a second "sync.proto" would be a panic at the start.
set -e
cd "$(dirname "$0")/../../.."
out=${1:-.}
plugin=$(go tool -n protoc-gen-go)
protoc --plugin=protoc-gen-go="$plugin" --go_out="$out" --go_opt=paths=source_relative internal/wire/wirepb/sync.proto internal/wire/wirepb/directory.proto internal/wire/wirepb/lookup.proto internal/wire/wirepb/contribute.proto internal/wire/wirepb/log.proto internal/wire/wirepb/handover.proto internal/wire/wirepb/onward.proto
