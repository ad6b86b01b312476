package salesforce

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"
)

// newTransport speaks HTTP/1.1 only, where a request has its connection to itself and what left on it can be told.
// Idle connections are short-lived: Salesforce's edge drops them after about a minute, and a write on a dying one is
// in doubt.
func newTransport(cfg Config) *http.Transport {
	dial := cfg.DialContext
	t := &http.Transport{
		TLSHandshakeTimeout:    10 * time.Second,
		IdleConnTimeout:        30 * time.Second,
		MaxIdleConnsPerHost:    16,
		MaxResponseHeaderBytes: 256 << 10,
		DisableCompression:     true, // asked for and undone by hand, with a bound on the ratio
		TLSNextProto:           map[string]func(string, *tls.Conn) http.RoundTripper{},
	}
	if dial == nil {
		dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
		t.Proxy = http.ProxyFromEnvironment
	}
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &wire{Conn: conn}, nil
	}
	t.TLSClientConfig = cfg.TLS.Clone()
	if t.TLSClientConfig == nil {
		t.TLSClientConfig = &tls.Config{}
	}
	t.TLSClientConfig.MinVersion = max(t.TLSClientConfig.MinVersion, tls.VersionTLS12)
	return t
}

// wire counts the writes to a connection and can be sealed, so that a failed request can prove that no byte of it left
// and none will.
type wire struct {
	net.Conn
	mu     sync.Mutex
	writes int64
	sealed bool
}

var errSealed = errors.New("connection given up")

// Write counts before it writes: what has begun may have left.
func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	if w.sealed {
		w.mu.Unlock()
		return 0, errSealed
	}
	w.writes++
	w.mu.Unlock()
	return w.Conn.Write(p)
}

func (w *wire) count() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.writes
}

// seal refuses further writes if there was none since the count was mark, and reports whether that is so.
func (w *wire) seal(mark int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.writes != mark {
		return false
	}
	w.sealed = true
	return true
}

// sending follows one request over the connections that the transport gives it: it may take several, as it tries again by
// itself where a reused one turns out to be closed before anything was written.
type sending struct {
	mu    sync.Mutex
	tries []try
}

type try struct {
	wire *wire // nil: a connection that we can't look into
	mark int64 // its count when the request got it
}

func (s *sending) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: s.gotConn})
}

func (s *sending) gotConn(info httptrace.GotConnInfo) {
	conn := info.Conn
	for {
		secured, ok := conn.(*tls.Conn)
		if !ok {
			break
		}
		conn = secured.NetConn()
	}
	t := try{}
	if w, ok := conn.(*wire); ok {
		t = try{wire: w, mark: w.count()}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries = append(s.tries, t)
}

// nothingLeft reports whether no byte of a request that failed has left or ever will: it got no connection
// (refused, name not found, TLS failure), or wrote nothing to those it got. A writer that is
// still about to begin finds its connection sealed.
func (s *sending) nothingLeft() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tries {
		if t.wire == nil || !t.wire.seal(t.mark) {
			return false
		}
	}
	return true
}
