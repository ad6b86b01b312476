// Package fsx makes changes of files durable by name: on Linux a new or renamed
// file is certain to be found after a power cut only once its folder was synced.
package fsx
