package history

import (
	"fmt"
	"io"
	"time"
)

// Print writes the kills, what everybody was subscribed to and all violations.
func (h *History) Print(w io.Writer) {
	found := h.Violations()
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, k := range h.kills {
		fmt.Fprintf(w, "kill %d: %s from %s to %s\n", i+1, k.how, moment(k.at), moment(k.up))
	}
	for _, r := range h.receivers {
		for _, s := range r.spans {
			fmt.Fprintf(w, "%s: %s subscribed from %s, sure since %s, until %s, gone for sure at %s\n",
				r.name, s.filter, moment(s.from), moment(s.since), moment(s.until), moment(s.to))
		}
	}
	for _, v := range found {
		fmt.Fprintln(w, v)
	}
}

func moment(t time.Duration) string {
	if t == never {
		return "-"
	}
	return round(t).String()
}
