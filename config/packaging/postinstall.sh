#!/bin/sh
# After the package is there: the user, its folder, and what to do next.
set -e
if ! getent passwd stile >/dev/null; then
	useradd --system --user-group --home-dir /var/lib/stile --no-create-home --shell /usr/sbin/nologin stile
fi
if [ ! -d /var/lib/stile ]; then
	install -d -m 0700 -o stile -g stile /var/lib/stile
fi
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	# A node that ran goes on with the new program.
	systemctl try-restart stile.service
fi
if [ ! -e /var/lib/stile/stile.yaml ]; then
	echo "stile: found a node with: sudo -u stile stile init --data /var/lib/stile --council YOUR-DOMAIN"
	echo "stile: then: sudo systemctl enable --now stile"
fi
