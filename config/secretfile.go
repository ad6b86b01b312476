package config

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// readSecrets fills the secrets that are named by a file. Every one that is
// named must be right, whether the flow needs it or not.
func (d *decoder) readSecrets(a *Auth, o Options) {
	for _, s := range []struct {
		name   string
		secret *Secret
		file   string
		check  func(Secret) error
	}{
		{"private_key", &a.PrivateKey, a.PrivateKeyFile, checkPrivateKey},
		{"client_secret", &a.ClientSecret, a.ClientSecretFile, nil},
		{"refresh_token", &a.RefreshToken, a.RefreshTokenFile, nil},
	} {
		key := "salesforce.auth." + s.name
		if s.file != "" {
			if !s.secret.IsZero() {
				d.failAt(key, "given twice, here and as "+s.name+"_file", "keep one of the two, better the file")
				continue
			}
			key += "_file"
			text, err := readSecret(s.file, o)
			if err != nil {
				d.failWith(d.at[key], key, err)
				continue
			}
			*s.secret = Secret{text: text, fromFile: true}
		}
		if s.check != nil && !s.secret.IsZero() {
			if err := s.check(*s.secret); err != nil {
				d.failWith(d.at[key], key, err)
			}
		}
	}
}

// readSecret reads a file and trims the white space around its text.
func readSecret(file string, o Options) (string, error) {
	f, trusted, err := openSecret(file, o)
	if err != nil {
		return "", &mistake{"can't be read: " + reason(err), "check the path; a relative one is looked for in $CREDENTIALS_DIRECTORY, then beside the configuration"}
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", &mistake{"can't be read: " + reason(err), "check the file"}
	}
	if !info.Mode().IsRegular() {
		return "", &mistake{"is not a file", "name a plain file"}
	}
	if !trusted {
		if err := checkPrivate(f.Name(), info); err != nil {
			return "", err
		}
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	text := strings.TrimSpace(string(data))
	switch {
	case err != nil:
		return "", &mistake{"can't be read: " + reason(err), "check the file"}
	case len(data) > maxFile:
		return "", &mistake{"is longer than 1 MiB", "check that it is the right file"}
	case text == "":
		return "", &mistake{"is empty", "put the secret into " + f.Name()}
	}
	return text, nil
}

// openSecret says whether the file is one of systemd's credentials, which
// systemd has made readable for the daemon alone, by means other than its mode.
// Opening does not wait, as it would for a pipe.
func openSecret(file string, o Options) (f *os.File, trusted bool, err error) {
	open := func(path string) (*os.File, error) { return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) }
	if !filepath.IsAbs(file) {
		if o.CredentialsDir != "" && filepath.IsLocal(file) {
			f, err = open(filepath.Join(o.CredentialsDir, file))
			if !errors.Is(err, fs.ErrNotExist) {
				return f, true, err
			}
		}
		file = filepath.Join(o.Dir, file)
	}
	f, err = open(file)
	inside := o.CredentialsDir != "" && strings.HasPrefix(filepath.Clean(file), filepath.Clean(o.CredentialsDir)+"/")
	return f, inside, err
}

// checkPrivate refuses a file that others could read, or have put there.
func checkPrivate(path string, info fs.FileInfo) error {
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return &mistake{
			fmt.Sprintf("others can read it: its mode is %04o", mode),
			"chmod 0600 " + path + ", or hand it over by systemd's LoadCredential",
		}
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && owner.Uid != 0 && int(owner.Uid) != os.Geteuid() {
		return &mistake{
			fmt.Sprintf("belongs to another user (uid %d)", owner.Uid),
			"chown it to the daemon's user or to root",
		}
	}
	return nil
}

// reason is an error without the path, which the hint or the file shows.
func reason(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}

// checkPrivateKey wants an RSA key, in PKCS #8 or PKCS #1: Salesforce takes no other.
func checkPrivateKey(s Secret) error {
	const hint = "make one with: openssl genrsa -out salesforce.key 2048"
	block, _ := pem.Decode([]byte(s.Reveal()))
	if block == nil {
		return &mistake{"is not PEM", hint}
	}
	if _, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return nil
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if _, ok := key.(*rsa.PrivateKey); err != nil || !ok {
		return &mistake{"is not an RSA private key without passphrase", hint}
	}
	return nil
}
