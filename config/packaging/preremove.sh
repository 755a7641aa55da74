#!/bin/sh
# Before the program goes: stop the node, unless another version takes its place.
set -e
case "$1" in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl disable --now stile.service
	fi
	;;
esac
