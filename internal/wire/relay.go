package wire

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/multiformats/go-multiaddr"
)

// useRelays starts the relay client and keeps a place at each relay. Finding
// relays, and asking strangers whether we can be reached, is left out: the
// relays are configured and the address that partners dial is in the directory.
func (h *Host) useRelays(up transport.Upgrader) error {
	if err := client.AddTransport(h.libp2p, up); err != nil {
		return fmt.Errorf("start relay client: %w", err)
	}
	for _, info := range h.relays {
		h.work.Go(func() { h.keepPlace(info) })
	}
	return nil
}

// keepPlace reserves a place at a relay again when half its time is over or the
// connection was lost, which ends it.
func (h *Host) keepPlace(info peer.AddrInfo) {
	const look, slowest = 5 * time.Second, 5 * time.Minute
	wait := look
	var renew time.Time
	for {
		if h.swarm.Connectedness(info.ID) != network.Connected || time.Now().After(renew) {
			ctx, cancel := context.WithTimeout(h.ctx, OpenTimeout)
			h.swarm.Backoff().Clear(info.ID)
			place, err := client.Reserve(ctx, h.libp2p, peer.AddrInfo{ID: info.ID})
			cancel()
			if err != nil {
				if wait == look && h.ctx.Err() == nil {
					h.log.Warn("no place at relay", "relay", info.ID, "error", err)
				}
				wait = min(2*wait, slowest)
			} else {
				if wait != look || renew.IsZero() {
					h.log.Info("place at relay", "relay", info.ID, "until", place.Expiration)
				}
				wait = look
				renew = time.Now().Add(time.Until(place.Expiration) / 2)
			}
		}
		select {
		case <-time.After(wait/2 + rand.N(wait)):
		case <-h.ctx.Done():
			return
		}
	}
}

// serveRelay lets members reach each other through this node. The limits of a
// public relay (two minutes, 128 KiB) would cut every first copy, so there are
// none on a circuit; instead it is for members alone and few at a time.
func (h *Host) serveRelay() error {
	r, err := relay.New(h.libp2p,
		relay.WithResources(relay.Resources{
			ReservationTTL:        time.Hour,
			MaxReservations:       128,
			MaxCircuits:           16,
			BufferSize:            32 << 10,
			MaxReservationsPerIP:  32,
			MaxReservationsPerASN: 128,
		}),
		relay.WithACL(relayACL{h}))
	if err != nil {
		return fmt.Errorf("start relay: %w", err)
	}
	context.AfterFunc(h.ctx, func() { r.Close() })
	return nil
}

// relayACL admits members to the relay, at both ends of a circuit.
type relayACL struct{ host *Host }

// AllowReserve implements relay.ACLFilter.
func (a relayACL) AllowReserve(p peer.ID, _ multiaddr.Multiaddr) bool {
	_, ok := a.host.council(p)
	return ok
}

// AllowConnect implements relay.ACLFilter.
func (a relayACL) AllowConnect(from peer.ID, _ multiaddr.Multiaddr, to peer.ID) bool {
	_, ok1 := a.host.council(from)
	_, ok2 := a.host.council(to)
	return ok1 && ok2
}
