package server

import (
	"context"
	"net"
	"sync"
)

// Bounds of what the users of the socket hold at once.
const (
	maxWaiters = 1024 // waiting questions of one uid
	maxStreams = 256  // NDJSON streams of one uid that are being written
	maxFeeds   = 64   // outcome feeds that follow
	// maxBodyBytes is what the larger bodies of one uid may hold at once;
	// further ones wait. Those up to smallBody don't count.
	maxBodyBytes = 128 << 20
	smallBody    = 64 << 10
	// Connections above their limit are answered 429 on their first request;
	// this many more, and they are closed at once.
	connectionSlack = 256
)

// gate reads the credentials of each connection and counts it.
type gate struct {
	net.Listener
	s *Server
}

// Accept returns the next connection of a user who is not far above the limit.
func (g *gate) Accept() (*peerConn, error) {
	for {
		c, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		p, err := credentials(c)
		if err != nil {
			g.s.log.Debug("connection refused", "err", err)
			c.Close()
			continue
		}
		count, limit := g.s.conns.add(p.uid)
		if limit > 0 && count > limit+connectionSlack {
			g.s.conns.done(p.uid)
			c.Close()
			continue
		}
		p.over = limit > 0 && count > limit
		return &peerConn{Conn: c, peer: p, release: sync.OnceFunc(func() { g.s.conns.done(p.uid) })}, nil
	}
}

// peerConn is a connection whose peer is known.
type peerConn struct {
	net.Conn
	peer    peer
	release func()
}

func (c *peerConn) Close() error {
	c.release()
	return c.Conn.Close()
}

func (s *Server) connContext(ctx context.Context, c net.Conn) context.Context {
	if pc, ok := c.(*peerConn); ok {
		return context.WithValue(ctx, peerKey{}, pc.peer)
	}
	return ctx
}

// perUID counts what each user holds.
type perUID struct {
	mu    sync.Mutex
	limit int // 0: none
	held  map[uint32]int
}

func newPerUID(limit int) *perUID {
	return &perUID{limit: limit, held: make(map[uint32]int)}
}

func (p *perUID) set(limit int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limit = limit
}

// add counts one more and returns the new count and the limit.
func (p *perUID) add(uid uint32) (count, limit int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held[uid]++
	return p.held[uid], p.limit
}

// take counts one more unless the limit is reached.
func (p *perUID) take(uid uint32) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.limit > 0 && p.held[uid] >= p.limit {
		return false
	}
	p.held[uid]++
	return true
}

// done gives one back.
func (p *perUID) done(uid uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held[uid]--; p.held[uid] <= 0 {
		delete(p.held, uid)
	}
}

// total is what all users hold.
func (p *perUID) total() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, held := range p.held {
		n += held
	}
	return n
}

// bodyBudget bounds the memory that each user's bodies take.
type bodyBudget struct {
	mu    sync.Mutex
	freed sync.Cond
	held  map[uint32]int64
}

func newBodyBudget() *bodyBudget {
	b := &bodyBudget{held: make(map[uint32]int64)}
	b.freed.L = &b.mu
	return b
}

// take waits until the user may hold n bytes more. Every holder gives them
// back in bounded time, since a body has a time limit.
func (b *bodyBudget) take(uid uint32, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.held[uid]+n > maxBodyBytes {
		b.freed.Wait()
	}
	b.held[uid] += n
}

func (b *bodyBudget) give(uid uint32, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held[uid] -= n; b.held[uid] <= 0 {
		delete(b.held, uid)
	}
	b.freed.Broadcast()
}

// slots bounds how many do something at once.
type slots chan struct{}

func newSlots(n int) slots { return make(slots, n) }

func (s slots) take() bool {
	select {
	case s <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s slots) done() { <-s }
