// Package client talks to the daemon over its Unix socket. The commands use
// it, and so may apps that are written in Go:
//
//	c := client.New("/run/outboxd/outboxd.sock")
//	done, err := c.Put(ctx, api.Event{
//		Key: "order-1187/contact", Object: "Contact", Operation: "upsert",
//		ExternalID: &api.ExternalID{Field: "Shop_Id__c", Value: json.RawMessage(`"1187"`)},
//		Fields:     map[string]any{"LastName": "Lovelace"},
//	})
//
// When Put returns without an error the event is durable. An answer that is an
// error is a *Problem, and nothing was stored. ErrUnreachable means that no
// daemon listens; ErrCut that the connection ended without an answer, so that
// nothing is known: repeat the call with the same key.
//
// A Client keeps connections and may be used by many goroutines at once. No
// call has a time limit of its own beside connecting: contexts set them.
package client
