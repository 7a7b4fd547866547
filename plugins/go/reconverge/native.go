//go:build !wasip1

package reconverge

// Log is silent where no host is, as in tests.
func Log(int, string) {}
