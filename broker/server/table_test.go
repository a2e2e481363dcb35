package server

import (
	"slices"
	"testing"
)

func TestTheTableTakesMemoryForDescriptorsInUse(t *testing.T) {
	table := newTable(1 << 24) // what a process without a limit may open
	if n := testing.AllocsPerRun(1, func() { table = newTable(1 << 24) }); n > 2 {
		t.Errorf("%v allocations", n)
	}
	table.set(7, &conn{fd: 7})
	table.set(8, &conn{fd: 8})
	inUse := 0
	for i := range table.chunks {
		if table.chunks[i].Load() != nil {
			inUse++
		}
	}
	if inUse != 1 || len(table.chunks) > 1<<12 {
		t.Errorf("%d parts of %d are in memory for two connections", inUse, len(table.chunks))
	}
}

func TestTheTableFindsItsConnections(t *testing.T) {
	fds := []int{0, 7, tableChunkSize - 1, tableChunkSize, 5*tableChunkSize + 3}
	table := newTable(6 * tableChunkSize)
	for _, fd := range fds {
		table.set(fd, &conn{fd: fd})
	}
	for _, c := range []struct {
		from int
		want []int
	}{
		{0, fds}, {1, fds[1:]}, {8, fds[2:]}, {tableChunkSize, fds[3:]}, {tableChunkSize + 1, fds[4:]},
		{5*tableChunkSize + 4, nil}, {table.size(), nil},
	} {
		var got []int
		for fd, c := range table.from(c.from) {
			if c.fd != fd {
				t.Errorf("descriptor %d has the connection of %d", fd, c.fd)
			}
			got = append(got, fd)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("from %d: %v, want %v", c.from, got, c.want)
		}
	}
	table.set(7, nil)
	if table.at(7) != nil || table.at(tableChunkSize).fd != tableChunkSize || table.at(2*tableChunkSize) != nil || table.at(table.size()) != nil {
		t.Error("a descriptor has another connection than was set")
	}
	for c := range table.all() {
		if c.fd != 0 {
			t.Errorf("the loop has not ended with the first, but goes on with %d", c.fd)
		}
		break
	}
}
