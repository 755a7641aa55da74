package quota_test

import (
	"errors"
	"io"
	"net"
	"testing"

	"github.com/stile-exchange/stile/internal/quota"
)

// A door hands out one end of a pipe for each address in its list.
type door struct {
	from  []string
	other []net.Conn
}

type addressed struct {
	net.Conn
	from string
}

type address string

func (a address) Network() string        { return "tcp" }
func (a address) String() string         { return string(a) }
func (a addressed) RemoteAddr() net.Addr { return address(a.from) }
func (d *door) Addr() net.Addr           { return address("door") }
func (d *door) Close() error             { return nil }
func (d *door) Accept() (net.Conn, error) {
	if len(d.from) == 0 {
		return nil, net.ErrClosed
	}
	here, there := net.Pipe()
	d.other = append(d.other, there)
	from := d.from[0]
	d.from = d.from[1:]
	return addressed{here, from}, nil
}

// Somebody who opens 1,300 connections and says nothing closes their own: the others
// stay, and no more than the bound are ever open.
func TestListenerKeepsTheOthers(t *testing.T) {
	const most = 64
	d := &door{from: []string{"192.0.2.1:1", "192.0.2.2:1"}}
	for range 1300 {
		d.from = append(d.from, "198.51.100.7:1")
	}
	l := quota.Limit(d, most)
	var conns []net.Conn
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			break
		}
		conns = append(conns, c)
		if open, _ := l.Open(); open > most {
			t.Fatalf("%d connections are open", open)
		}
	}
	open, ended := l.Open()
	if open != most || ended != 1302-most {
		t.Errorf("%d open and %d ended, want %d and %d", open, ended, most, 1302-most)
	}
	closed := func(i int) bool {
		_, err := d.other[i].Write([]byte{0}) // the reader below, or nobody
		return errors.Is(err, io.ErrClosedPipe)
	}
	for i := range 2 {
		go io.ReadFull(conns[i], make([]byte, 1))
		if closed(i) {
			t.Errorf("connection %d, of somebody else, was closed", i)
		}
	}
	if !closed(2) {
		t.Error("the oldest of those that say nothing is open")
	}
	for _, c := range conns {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if open, _ := l.Open(); open != 0 {
		t.Errorf("%d open after all were closed", open)
	}
}

// Of connections from one address the one that has been still for longest goes.
func TestListenerClosesTheStillest(t *testing.T) {
	d := &door{from: []string{"a:1", "a:2", "a:3"}}
	l := quota.Limit(d, 2)
	first, _ := l.Accept()
	l.Accept()
	go d.other[0].Write([]byte{1})
	if _, err := io.ReadFull(first, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	l.Accept()
	if _, err := d.other[1].Write([]byte{0}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the second, which said nothing, is open: %v", err)
	}
}
