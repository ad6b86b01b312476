package app

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/outboxd/outboxd/config"
	"github.com/outboxd/outboxd/internal/fsx"
)

// rotation keeps the refresh token that the org gave in place of the configured
// one, beside the store and apart from it, so that no backup has it.
type rotation struct {
	path  string
	first string // digest of the configured token; another one starts anew
}

// rotated is the file's content.
type rotated struct {
	ConfiguredSHA256 string `json:"configured_sha256"`
	RefreshToken     string `json:"refresh_token"`
}

func newRotation(cfg *config.Config) rotation {
	sum := sha256.Sum256([]byte(cfg.Salesforce.Auth.RefreshToken.Reveal()))
	return rotation{path: cfg.Store.Path + ".refresh_token", first: hex.EncodeToString(sum[:])}
}

// token is the newest one: what was rotated since the configured one was first
// used, else the configured one.
func (r rotation) token(configured string) (string, error) {
	text, err := os.ReadFile(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return configured, nil
	}
	if err != nil {
		return "", err
	}
	var kept rotated
	if err := json.Unmarshal(text, &kept); err != nil {
		return "", fmt.Errorf("%s: not what was written there; remove it after configuring a new refresh token", r.path)
	}
	if kept.ConfiguredSHA256 != r.first {
		return configured, nil
	}
	return kept.RefreshToken, nil
}

// save keeps a rotated token; the one before it is dead.
func (r rotation) save(token string) error {
	text, err := json.Marshal(rotated{r.first, token})
	if err != nil {
		return err
	}
	return fsx.WriteFile(r.path, text)
}
