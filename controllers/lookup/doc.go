// Package lookup is what the operator's caches hold, and how objects that belong
// together are found in them: by index, or, of Secrets, by reading what their
// metadata points to.
package lookup
