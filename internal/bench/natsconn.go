package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// natsConn speaks as much of the NATS client protocol as the lanes need:
// publish with headers, requests, and subscriptions. Its methods may be called
// concurrently.
// See https://docs.nats.io/reference/reference-protocols/nats-protocol.
type natsConn struct {
	conn  net.Conn
	inbox string
	sids  atomic.Int64

	out sync.Mutex // guards w
	w   *bufio.Writer

	mu    sync.Mutex // guards what follows
	subs  map[string]chan natsMsg
	calls map[string]chan natsMsg // by the last part of the inbox
	err   error
}

type natsMsg struct {
	subject, reply string
	status         string // of the headers' first line: "503" when nobody answers
	data           []byte
}

func dialNATS(ctx context.Context, address string) (*natsConn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	c := &natsConn{
		conn: conn, w: bufio.NewWriterSize(conn, 256<<10), inbox: fmt.Sprintf("_INBOX.%d.", time.Now().UnixNano()),
		subs: map[string]chan natsMsg{}, calls: map[string]chan natsMsg{},
	}
	fmt.Fprint(c.w, `CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"lang":"go","version":"0","protocol":1}`+"\r\n")
	fmt.Fprintf(c.w, "SUB %s* 0\r\n", c.inbox)
	if err := c.w.Flush(); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	go c.read()
	return c, nil
}

func (c *natsConn) close() { c.conn.Close() }

func (c *natsConn) read() {
	err := c.readAll(bufio.NewReaderSize(c.conn, 256<<10))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
	for _, ch := range c.subs {
		close(ch)
	}
	for _, ch := range c.calls {
		close(ch)
	}
	c.subs, c.calls = nil, nil
}

func (c *natsConn) readAll(r *bufio.Reader) error {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		switch f[0] {
		case "PING":
			c.out.Lock()
			fmt.Fprint(c.w, "PONG\r\n")
			err := c.w.Flush()
			c.out.Unlock()
			if err != nil {
				return err
			}
		case "-ERR":
			return errors.New(strings.TrimSpace(line))
		case "MSG", "HMSG": // subject sid [reply] [header bytes] bytes
			fixed := 4
			if f[0] == "HMSG" {
				fixed++
			}
			if len(f) < fixed {
				return fmt.Errorf("unexpected line %q", line)
			}
			m := natsMsg{subject: f[1]}
			if len(f) == fixed+1 {
				m.reply = f[3]
			}
			total, err := strconv.Atoi(f[len(f)-1])
			if err != nil {
				return err
			}
			b := make([]byte, total+2)
			if _, err := io.ReadFull(r, b); err != nil {
				return err
			}
			b = b[:total]
			if f[0] == "HMSG" {
				n, err := strconv.Atoi(f[len(f)-2])
				if err != nil || n > len(b) {
					return fmt.Errorf("unexpected line %q", line)
				}
				first, _, _ := bytes.Cut(b[:n], []byte("\r\n"))
				if p := strings.Fields(string(first)); len(p) > 1 {
					m.status = p[1]
				}
				b = b[n:]
			}
			m.data = b
			c.deliver(f[2], m)
		}
	}
}

func (c *natsConn) deliver(sid string, m natsMsg) {
	c.mu.Lock()
	ch := c.subs[sid]
	if sid == "0" {
		last := m.subject[strings.LastIndexByte(m.subject, '.')+1:]
		ch = c.calls[last]
		delete(c.calls, last)
	}
	c.mu.Unlock()
	if ch != nil {
		ch <- m
	}
}

// send puts a message into the buffer; headers are lines of "Name: value".
func (c *natsConn) send(subject, reply string, data []byte, headers ...string) {
	c.out.Lock()
	defer c.out.Unlock()
	if len(headers) == 0 {
		fmt.Fprintf(c.w, "PUB %s %s %d\r\n", subject, reply, len(data))
	} else {
		h := "NATS/1.0\r\n" + strings.Join(headers, "\r\n") + "\r\n\r\n"
		fmt.Fprintf(c.w, "HPUB %s %s %d %d\r\n%s", subject, reply, len(h), len(h)+len(data), h)
	}
	c.w.Write(data)
	c.w.WriteString("\r\n")
}

func (c *natsConn) flush() error {
	c.out.Lock()
	defer c.out.Unlock()
	return c.w.Flush()
}

// call sends a message that is answered; the answer comes through the channel.
// The caller flushes.
func (c *natsConn) call(subject string, data []byte, headers ...string) (<-chan natsMsg, error) {
	id := strconv.FormatInt(c.sids.Add(1), 36)
	ch := make(chan natsMsg, 1)
	c.mu.Lock()
	if c.err != nil {
		defer c.mu.Unlock()
		return nil, c.err
	}
	c.calls[id] = ch
	c.mu.Unlock()
	c.send(subject, c.inbox+id, data, headers...)
	return ch, nil
}

// answer waits for what a call was answered with: JSON without an error in it.
func (c *natsConn) answer(ctx context.Context, ch <-chan natsMsg) (natsMsg, error) {
	select {
	case m, ok := <-ch:
		if !ok {
			return m, fmt.Errorf("the connection ended: %w", c.err)
		}
		var body struct {
			Error *struct {
				Description string `json:"description"`
			} `json:"error"`
		}
		if m.status == "503" {
			return m, errors.New("nobody answers")
		}
		if json.Unmarshal(m.data, &body) == nil && body.Error != nil {
			return m, errors.New(body.Error.Description)
		}
		return m, nil
	case <-ctx.Done():
		return natsMsg{}, ctx.Err()
	}
}

// ask is call, flush and answer in one.
func (c *natsConn) ask(ctx context.Context, subject string, data []byte, headers ...string) (natsMsg, error) {
	ch, err := c.call(subject, data, headers...)
	if err != nil {
		return natsMsg{}, err
	}
	if err := c.flush(); err != nil {
		return natsMsg{}, err
	}
	m, err := c.answer(ctx, ch)
	if err != nil {
		err = fmt.Errorf("%s: %w", subject, err)
	}
	return m, err
}

// subscribe returns the messages of a subject.
func (c *natsConn) subscribe(subject string) (<-chan natsMsg, error) {
	sid := "s" + strconv.FormatInt(c.sids.Add(1), 36)
	ch := make(chan natsMsg, 4096)
	c.mu.Lock()
	if c.err != nil {
		defer c.mu.Unlock()
		return nil, c.err
	}
	c.subs[sid] = ch
	c.mu.Unlock()
	c.out.Lock()
	fmt.Fprintf(c.w, "SUB %s %s\r\n", subject, sid)
	c.out.Unlock()
	return ch, c.flush()
}
