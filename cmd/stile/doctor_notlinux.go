//go:build !linux

package main

// clockUnsynchronised is not known on this system.
func clockUnsynchronised() bool { return false }
