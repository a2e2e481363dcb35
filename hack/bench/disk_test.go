package main

import "testing"

// What mountinfo looks like. The second /data hides the first one.
const mounts = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw
23 22 0:21 / /tmp rw - tmpfs tmpfs rw,size=1g
24 22 254:16 / /data rw,noatime shared:2 master:1 - ext4 /dev/sdb rw
25 22 254:32 /volume /data rw shared:3 - xfs /dev/sdc rw
26 24 0:22 / /data/fast rw - ramfs ramfs rw
cut short
`

func TestADirectoryIsOnTheNearestFileSystem(t *testing.T) {
	for path, want := range map[string]disk{
		"/":              {"ext4", "/dev/root"},
		"/home/me":       {"ext4", "/dev/root"},
		"/tmp/x":         {"tmpfs", "tmpfs"},
		"/data":          {"xfs", "/dev/sdc"},
		"/data/brokers":  {"xfs", "/dev/sdc"},
		"/data/fast/a/b": {"ramfs", "ramfs"},
		"/database":      {"ext4", "/dev/root"},
	} {
		got, err := findDisk([]byte(mounts), path)
		if err != nil || got != want {
			t.Errorf("%s: %v, %v", path, got, err)
		}
		memory := want.kind == "tmpfs" || want.kind == "ramfs"
		if (got.check() != nil) != memory {
			t.Errorf("%s: %v", path, got.check())
		}
	}
	if _, err := findDisk(nil, "/"); err == nil {
		t.Error("no file system is no error")
	}
}

func TestThisDirectoryIsOnAFileSystem(t *testing.T) {
	if d, err := diskOf("."); err != nil || d.kind == "" || d.device == "" {
		t.Errorf("%v, %v", d, err)
	}
	if _, err := diskOf("none"); err == nil {
		t.Error("a directory that is not there is no error")
	}
}
