// Command probe looks at the network from inside a pod. It stands beside busybox in the image
// busybox:local: Debian's static busybox crashes where it looks up a name or an address.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

const usage = `usage: probe resolve NAME       print the addresses of NAME
       probe dial HOST:PORT     connect, and say with what
       probe get URL            print what URL answers`

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := run(ctx, os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, command, target string) error {
	switch command {
	case "resolve":
		addresses, err := net.DefaultResolver.LookupHost(ctx, target)
		for _, a := range addresses {
			fmt.Println(a)
		}
		return err
	case "dial":
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", target)
		if err != nil {
			return err
		}
		fmt.Println("connected to", conn.RemoteAddr())
		return conn.Close()
	case "get":
		return get(ctx, target)
	default:
		return fmt.Errorf("%s: no such command\n%s", command, usage)
	}
}

func get(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(os.Stdout, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return nil
}
