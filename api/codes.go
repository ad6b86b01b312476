package api

// Codes is the table of problem codes, in the order of their status. Nothing
// answered with one of them has been stored or changed.
var Codes = []CodeInfo{
	{
		CodeMalformed, 400, "The body can't be read",
		"Not JSON, not UTF-8, empty, or cut off.",
		"Repair the body; sending it again as it is won't help.",
	},
	{
		CodeInvalidEvent, 400, "The event is not valid",
		"JSON, but not an event: `errors` names each place. Also a header Idempotency-Key that contradicts the body.",
		"Repair the event; sending it again as it is won't help.",
	},
	{
		CodeInvalidRequest, 400, "The request is not valid",
		"The body of a move (retry, resolve, resume) is not what it takes.",
		"Repair the body.",
	},
	{
		CodeInvalidQuery, 400, "The query is not valid",
		"A filter, limit, cursor or parameter of the query is unknown, doubled or out of range.",
		"Repair the query; cursors come from an earlier answer.",
	},
	{
		CodeUnknownWriteKey, 401, "The write key is unknown",
		"Segment-shaped calls only: the write key is not in the daemon's list.",
		"Add the key to `segment.write_keys_file`, or use one of its keys.",
	},
	{
		CodeForbidden, 403, "Not allowed",
		"The peer's user may not do this; `access` in the configuration says who may.",
		"Ask the operator for the right, or run as another user.",
	},
	{
		CodeUnknownKey, 404, "The key is unknown",
		"No event with this key, or its receipt is past the dedup window.",
		"Check the key, percent-encoded in the path.",
	},
	{
		CodeNotFound, 404, "Not found",
		"No such path, or no such attempt.",
		"Check the path.",
	},
	{
		CodeMethodNotAllowed, 405, "The method is not allowed",
		"The path exists for other methods; header Allow names them.",
		"Use one of the methods in Allow.",
	},
	{
		CodeWrongState, 409, "The state does not allow it",
		"The event is not in a state from which this move leads.",
		"Ask for the event's document and decide again.",
	},
	{
		CodeSuperseded, 409, "Superseded by a later event",
		"A later event of the same record was sent; retrying this one would put old values over new ones.",
		"Drop it, or write a new event with the values that you want.",
	},
	{
		CodeConfirmationNeeded, 409, "A confirmation is needed",
		"Sending stopped because the org changed or the store was restored.",
		"Read what `status` says, then resume with `accept_org` or `accept_restore`.",
	},
	{
		CodeCursorGone, 410, "The cursor is gone",
		"The feed no longer reaches back to the cursor: it is older than the dedup window.",
		"Read the feed from its beginning, without `after`.",
	},
	{
		CodeTooLarge, 413, "Too large",
		"An event of more than 1 MiB, or an array or atomic body of more than 16 MiB or 10,000 events.",
		"Send less at once; NDJSON has no bound on the number of lines.",
	},
	{
		CodeUnsupportedMediaType, 415, "The media type is not supported",
		"The body is neither `application/json` nor `application/x-ndjson`, or it has a Content-Encoding.",
		"Set Content-Type; send the body as it is.",
	},
	{
		CodeKeyReused, 422, "The key was used for another payload",
		"An event with this key and another payload was accepted before. The stored one is unchanged.",
		"Give the new event a key of its own.",
	},
	{
		CodeSchemaMismatch, 422, "The event does not fit the org's schema",
		"With `validate: reject`: the object or a field of the event does not exist, does not take the value, or is required and missing: `errors` names each place with its `reason`.",
		"Repair the event, or the org's schema. A change of the schema is known after a minute.",
	},
	{
		CodeRateLimited, 429, "Too many requests",
		"The source writes faster than `limits.rate`, or its user holds too many connections or waits.",
		"Wait as long as header Retry-After says and repeat with the same key.",
	},
	{
		CodeInternal, 500, "Internal error",
		"Something that the daemon did not expect; its log has the cause under `request_id`.",
		"Repeat with the same key; report it if it stays.",
	},
	{
		CodeStarting, 503, "The daemon is starting",
		"It does not accept yet.",
		"Wait as long as Retry-After says and repeat with the same key.",
	},
	{
		CodeStopping, 503, "The daemon is stopping",
		"It does not accept any more.",
		"Wait as long as Retry-After says and repeat with the same key.",
	},
	{
		CodeUnavailable, 503, "The store is not available",
		"Nothing happened; the store can't take it now.",
		"Wait as long as Retry-After says and repeat with the same key.",
	},
	{
		CodeOutboxFull, 507, "The outbox is full",
		"The store is at `store.max_size`, the disk is full, or the source has used its share.",
		"Keep the event and repeat later: room comes back as events are delivered.",
	},
}

// Info returns the description of a code; of a code that is not in the table,
// that of internal.
func (c Code) Info() CodeInfo {
	for _, info := range Codes {
		if info.Code == c {
			return info
		}
	}
	return CodeInternal.Info()
}

// Problem makes a problem of the code with its status and title.
func (c Code) Problem(detail string) *Problem {
	info := c.Info()
	return &Problem{Status: info.Status, Code: info.Code, Title: info.Title, Detail: detail}
}

// Error gives the problem in one line: its code, and its detail or title.
func (p *Problem) Error() string {
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	if text == "" {
		return string(p.Code)
	}
	return string(p.Code) + ": " + text
}
