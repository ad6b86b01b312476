package simulator

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// etag is an account's; other rows have none.
func (r *record) etag() string {
	if r.object.Name != "Account" {
		return ""
	}
	sum := sha1.Sum([]byte(r.id + r.modified.Format(time.RFC3339Nano)))
	return fmt.Sprintf("%q", base64.StdEncoding.EncodeToString(sum[:])+"-gzip")
}

// condition holds a row against the request's conditional headers; nil is that
// the call goes on.
func (c *rowCall) condition(r *record) *answer {
	h, read := c.req.Header, c.req.method == http.MethodGet
	modified, tag := r.modified.Truncate(time.Second), r.etag()
	since, errSince := http.ParseTime(h.Get("If-Modified-Since"))
	until, errUntil := http.ParseTime(h.Get("If-Unmodified-Since"))
	switch {
	case !read && h.Get("If-Unmodified-Since") != "" && errUntil != nil:
		return errorAnswer(http.StatusBadRequest, "INVALID_INPUT", "If-Unmodified-Since is not a date")
	case read && errSince == nil && !modified.After(since), read && tag != "" && lists(h.Get("If-None-Match"), tag):
		return &answer{status: http.StatusNotModified, header: make(http.Header)}
	case errUntil == nil && modified.After(until), tag != "" && h.Get("If-Match") != "" && !lists(h.Get("If-Match"), tag):
		return errorAnswer(http.StatusPreconditionFailed, "ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE", "The record was changed since")
	default:
		return nil
	}
}

// lists reports whether a header names a tag.
func lists(header, tag string) bool {
	for one := range strings.SplitSeq(header, ",") {
		if one = strings.TrimSpace(one); one == tag || one == "*" {
			return true
		}
	}
	return false
}
