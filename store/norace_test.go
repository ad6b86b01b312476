//go:build !race

package store_test

const defaultImages = 5000
