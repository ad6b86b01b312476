package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/outboxd/outboxd/store"
)

// The client is written by hand, so that the server is what is measured.

func benchRig(b *testing.B) *rig {
	return start(b, func(s *setup) {
		s.store = store.Options{MaxSize: 4 << 30}
		s.deps.Logger = discard()
	})
}

func benchEvent(n int64) string {
	return fmt.Sprintf(`{"key":"order-%d/contact","object":"Contact","operation":"upsert","external_id":{"field":"Shop_Id__c","value":"%d"},"source":"shop","fields":{"LastName":"Lovelace","FirstName":"Ada","Email":"ada@example.com","Phone":"+44 20 7946 0018","MailingCity":"London"}}`, n, n)
}

// BenchmarkPutOne: single events on 64 connections.
func BenchmarkPutOne(b *testing.B) {
	r := benchRig(b)
	benchClients(b, r, 64, 1, "application/json", 201)
}

// BenchmarkPutLines: NDJSON, 1,000 a request, on two connections.
func BenchmarkPutLines(b *testing.B) {
	r := benchRig(b)
	benchClients(b, r, 2, 1000, "application/x-ndjson", 200)
}

func benchClients(b *testing.B, r *rig, clients, perRequest int, media string, status int) {
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for range clients {
		conn, err := r.dial(b.Context(), "", "")
		must(b, err)
		wg.Go(func() {
			defer conn.Close()
			in := bufio.NewReader(conn)
			for {
				first := next.Add(int64(perRequest)) - int64(perRequest)
				if first >= int64(b.N) {
					return
				}
				if !benchRequest(b, conn, in, first, perRequest, media, status) {
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(next.Load()-int64(clients*perRequest))/b.Elapsed().Seconds(), "events/s")
}

func benchRequest(b *testing.B, conn net.Conn, in *bufio.Reader, first int64, n int, media string, status int) bool {
	var body strings.Builder
	for i := range int64(n) {
		body.WriteString(benchEvent(first + i))
		body.WriteByte('\n')
	}
	_, err := fmt.Fprintf(conn, "POST /v1/events HTTP/1.1\r\nHost: o\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", media, body.Len(), body.String())
	if err != nil {
		b.Error(err)
		return false
	}
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != status {
		b.Error(res, err)
		return false
	}
	_, err = io.Copy(io.Discard, res.Body)
	res.Body.Close()
	return err == nil
}
