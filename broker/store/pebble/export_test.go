package pebble

// Messages returns the number of messages that have a key of their own.
func (s *Store) Messages() (n int) {
	err := s.scan(prefixMessage, func(_, _ []byte) error {
		n++
		return nil
	})
	if err != nil {
		panic(err)
	}
	return n
}
