// Package salesforce is a client of the parts of Salesforce that outboxd writes through: OAuth, REST
// collections, queries, describes, and ingest jobs of the Bulk API 2.0.
//
// What it promises is that its errors say what they prove. Every error has a [Class], by [ClassOf], and the zero
// class is Ambiguous: a write may have been applied. Any other class of a write's error is a proof
// that nothing was written, either because no byte of the request left this machine or because Salesforce said so itself, in
// an error of its own form with a code that means it. A proxy's 503, a maintenance page, a body that was cut, or an
// answer with another number of outcomes than records proves nothing. What became of single records is no error
// but data: a [Result] or a [ResultRow], whose code [ClassOfRecord] judges.
//
// It never repeats a write by itself, with one exception: after a 401 of Salesforce's own that says that the session has
// ended, it logs in once and sends the call again if the token is another one. It follows no redirects, keeps no
// cookies, and sends a token to no host but the one that the token was issued for. Every call has a deadline and every
// answer a bound; neither tokens nor values of fields appear in errors or logs.
//
// It knows nothing of events, lanes or the store: which records travel together, what is idempotent, and when to try
// again is the caller's.
//
//	c, err := salesforce.New(salesforce.Config{LoginURL: "https://login.salesforce.com", Auth: credentials})
//	…
//	results, err := c.Upsert(ctx, "Contact", "Shop_Id__c", rows, salesforce.Headers{})
package salesforce
