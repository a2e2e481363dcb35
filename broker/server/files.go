package server

// files says how the open files that the process may have are shared out, so that
// clients never take those that the store and the admin endpoint need.
type files struct {
	limit       int // of the process
	connections int // that clients may have
	newcomers   int // of connections, those whose client has not come past CONNECT
	store       int
}

// What is kept back for all but connections: at most, and as a part of the limit.
const (
	storeFiles    = 1024
	otherFiles    = 128 // listeners, event loops, the admin endpoint, files that are read
	reservedPart  = 4
	newcomersPart = 4
	maxNewcomers  = 4096
	// overshoot is how many connections may be taken while those that make room for
	// them have not ended. They count as otherFiles.
	overshoot = otherFiles / 4
)

// shareOut shares out a limit of open files.
func shareOut(limit int) files {
	reserved := min(limit/reservedPart, storeFiles+otherFiles)
	connections := limit - reserved
	return files{
		limit:       limit,
		connections: connections,
		newcomers:   min(connections/newcomersPart, maxNewcomers),
		store:       reserved - min(reserved/2, otherFiles),
	}
}

// StoreFiles is how many files the store may keep open: what a Server leaves to
// it of the files that the system lets the process open.
func StoreFiles() int { return shareOut(openFiles()).store }
