#!/bin/sh
# The records stay: they are the council's, and partners hold copies that only this
# log proves. Who wants them gone deletes the folder.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
case "$1" in
remove | purge | 0)
	if [ -e /var/lib/stile/stile.yaml ]; then
		echo "stile: the node's data was left in /var/lib/stile"
	fi
	;;
esac
