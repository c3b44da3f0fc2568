// Reads a log exported as static tlog-tiles with the Go project's own packages, which know nothing of wary, and checks it:
// the checkpoint's signature, every hash tile against the signed root, every entry against its leaf hash, an inclusion
// proof for every entry, and that each recorded earlier head (heads/*) is a prefix of this log.
//
//	verify DIRECTORY VKEY
package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type head struct {
	origin string
	tree   tlog.Tree
}

func openHead(path string, verifiers note.Verifiers) (head, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return head{}, err
	}
	signed, err := note.Open(text, verifiers)
	if err != nil {
		return head{}, fmt.Errorf("%s: %w", path, err)
	}
	lines := strings.SplitN(signed.Text, "\n", 4)
	if len(lines) != 4 || lines[3] != "" {
		return head{}, fmt.Errorf("%s: malformed checkpoint", path)
	}
	var tree tlog.Tree
	if _, err := fmt.Sscanf(lines[1], "%d", &tree.N); err != nil {
		return head{}, err
	}
	tree.Hash, err = tlog.ParseHash(lines[2])
	return head{lines[0], tree}, err
}

// Our tile paths are those of tlog-tiles: tile/L/N; the package's own have the tile height before the level.
type reader struct{ directory string }

func (r reader) Height() int { return 8 }
func (r reader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		path := "tile/" + strings.TrimPrefix(tile.Path(), "tile/8/")
		data, err := os.ReadFile(filepath.Join(r.directory, path))
		if err != nil {
			return nil, err
		}
		if len(data) != tile.W*tlog.HashSize {
			return nil, fmt.Errorf("%s: %d bytes", path, len(data))
		}
		all = append(all, data)
	}
	return all, nil
}
func (r reader) SaveTiles([]tlog.Tile, [][]byte) {}

func entries(directory string, size int64) ([][]byte, error) {
	var all [][]byte
	for n := int64(0); n*256 < size; n++ {
		width := min(256, size-n*256)
		tile := tlog.Tile{H: 8, L: 0, N: n, W: int(width)}
		path := "tile/entries/" + strings.TrimPrefix(tile.Path(), "tile/8/0/")
		data, err := os.ReadFile(filepath.Join(directory, path))
		if err != nil {
			return nil, err
		}
		for i := int64(0); i < width; i++ {
			if len(data) < 2 {
				return nil, fmt.Errorf("%s: cut", path)
			}
			length := int(binary.BigEndian.Uint16(data))
			if len(data) < 2+length {
				return nil, fmt.Errorf("%s: cut", path)
			}
			all = append(all, data[2:2+length])
			data = data[2+length:]
		}
		if len(data) != 0 {
			return nil, fmt.Errorf("%s: bytes follow the last entry", path)
		}
	}
	return all, nil
}

func run(directory, vkey string) error {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	verifiers := note.VerifierList(verifier)
	now, err := openHead(filepath.Join(directory, "checkpoint"), verifiers)
	if err != nil {
		return err
	}
	if now.origin != verifier.Name() {
		return fmt.Errorf("origin %q is not the key's name", now.origin)
	}
	hashes := tlog.TileHashReader(now.tree, reader{directory})
	all, err := entries(directory, now.tree.N)
	if err != nil {
		return err
	}
	for i, entry := range all {
		proof, err := tlog.ProveRecord(now.tree.N, int64(i), hashes)
		if err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
		if err := tlog.CheckRecord(proof, now.tree.N, now.tree.Hash, int64(i), tlog.RecordHash(entry)); err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
	}
	older, err := filepath.Glob(filepath.Join(directory, "heads", "*"))
	if err != nil {
		return err
	}
	sort.Strings(older)
	checked := 0
	for _, path := range older {
		before, err := openHead(path, verifiers)
		if err != nil {
			return err
		}
		if before.tree.N == 0 {
			continue
		}
		proof, err := tlog.ProveTree(now.tree.N, before.tree.N, hashes)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if err := tlog.CheckTree(proof, now.tree.N, now.tree.Hash, before.tree.N, before.tree.Hash); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		checked++
	}
	fmt.Printf("verified: %d entries, %d earlier heads, origin %s\n", now.tree.N, checked, now.origin)
	return nil
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: verify DIRECTORY VKEY")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "not verified:", err)
		os.Exit(1)
	}
}
