//go:build race

package store_test

// The race detector makes each image five times as dear.
const defaultImages = 500
