// Package config reads outboxd's configuration: one YAML file, strict, with a
// default for every key.
//
// [Load] finds all mistakes at once and gives each its line, column and a
// remedy. Secrets that the file names by path are read too, and only from files
// that nobody else can read; a [Secret] shows itself as *** wherever it is
// printed, logged or encoded. [Config.Show] writes the configuration in force.
//
// The package opens no socket, store or connection: whether a folder can be
// written or a login works is for the doctor command to find out.
package config
