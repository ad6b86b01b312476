package app

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"os/user"
	"strconv"
	"strings"

	"github.com/outboxd/outboxd/config"
	"github.com/outboxd/outboxd/dispatcher"
	"github.com/outboxd/outboxd/salesforce"
	"github.com/outboxd/outboxd/server"
	"github.com/outboxd/outboxd/store"
)

// What follows says each part's configuration in the part's own words.

func storeOptions(cfg *config.Config, log *slog.Logger) store.Options {
	return store.Options{
		MaxSize:        int64(cfg.Store.MaxSize),
		DedupWindow:    cfg.Store.DedupWindow,
		OverdueAfter:   cfg.Stuck.OverdueAfter,
		LateWindow:     cfg.Dispatch.REST.LateWindow,
		AllowNetworkFS: cfg.Store.AllowNetworkFS,
		Logger:         log.With("component", "store"),
	}
}

// skips answers by the newest configuration whether an object's failed events
// let their followers pass.
func (a *App) skips(object string) bool {
	return (*a.objects.Load())[strings.ToLower(object)].Skip
}

func serverConfig(cfg *config.Config, version string) server.Config {
	return server.Config{
		Version:     version,
		Access:      server.Access{Write: cfg.Access.Write, Read: cfg.Access.Read, Operate: cfg.Access.Operate},
		Rate:        float64(cfg.Limits.Rate),
		Connections: cfg.Limits.Connections,
	}
}

// Org makes the client that the daemon would use of a configuration with an org, for those who only ask something of
// it. It makes no call.
func Org(cfg *config.Config, d Deps) (*salesforce.Client, error) { return newOrg(cfg, d) }

// newOrg is nil where no org is configured.
func newOrg(cfg *config.Config, d Deps) (*salesforce.Client, error) {
	if cfg.Salesforce == nil {
		return nil, nil
	}
	login, err := credentials(cfg)
	if err != nil {
		return nil, err
	}
	return salesforce.New(salesforce.Config{
		LoginURL:   cfg.Salesforce.LoginURL,
		APIVersion: cfg.Salesforce.APIVersion,
		Auth:       login,
		Timeout:    cfg.Dispatch.REST.Timeout,
		Logger:     d.Logger.With("component", "salesforce"),
		Version:    d.Version,
	})
}

func credentials(cfg *config.Config) (salesforce.Credentials, error) {
	a := &cfg.Salesforce.Auth
	login := salesforce.Credentials{
		Flow: a.Flow, ClientID: a.ClientID, ClientSecret: a.ClientSecret.Reveal(),
		Username: a.Username, Audience: a.Audience, PrivateKeyPEM: []byte(a.PrivateKey.Reveal()),
	}
	if a.RefreshToken.IsZero() {
		return login, nil
	}
	kept := newRotation(cfg)
	login.SaveRefreshToken = kept.save
	var err error
	login.RefreshToken, err = kept.token(a.RefreshToken.Reveal())
	return login, err
}

var validations = map[string]dispatcher.Validation{
	"off": dispatcher.ValidateOff, "warn": dispatcher.ValidateWarn, "reject": dispatcher.ValidateReject,
}

func dispatch(cfg *config.Config) dispatcher.Config {
	c := cfg.Dispatch
	out := dispatcher.Config{
		Bulk: dispatcher.Bulk{
			MinRecords: c.Bulk.MinRecords, MaxRecords: c.Bulk.MaxRecords, MaxWait: c.Bulk.MaxWait,
			MaxJobs: c.Bulk.MaxJobs, PollMin: c.Bulk.Poll.Min, PollMax: c.Bulk.Poll.Max,
		},
		REST:     dispatcher.REST{MaxRecords: c.REST.MaxRecords, Concurrency: c.REST.Concurrency, LateWindow: c.REST.LateWindow},
		Retry:    dispatcher.Retry{Initial: c.Retry.Initial, Max: c.Retry.Max, MaxAttempts: c.Retry.MaxAttempts, MaxAge: c.Retry.MaxAge},
		Budget:   dispatcher.Budgeting{Reserve: float64(c.APIBudget.Reserve) / 100},
		Validate: validations[cfg.Validate],
	}
	if out.Budget.Reserve == 0 {
		out.Budget.Reserve = -1 // none; the dispatcher's zero means its default
	}
	out.Objects = make(map[string]dispatcher.ObjectConfig, len(cfg.Objects))
	for name, o := range cfg.Objects {
		out.Objects[strings.ToLower(name)] = dispatcher.ObjectConfig{
			KeyField: o.KeyField, CreateREST: o.CreateVia == "rest", Skip: o.OnFailure == "skip",
			AllowSave: o.AllowSave != nil && *o.AllowSave, AutoAssign: o.AutoAssign,
		}
	}
	return out
}

// defaultGroup is the socket's group where the configuration names none.
const defaultGroup = "outboxd"

// socketOptions leaves the group alone where the process has it already, since
// a sandboxed service may not chown, and where a host does not have the
// default one, since nobody asked for it there.
func (a *App) socketOptions(cfg *config.Config) server.Socket {
	o := server.Socket{Mode: fs.FileMode(cfg.Socket.Mode), Group: cfg.Socket.Group}
	g, err := user.LookupGroup(o.Group)
	var unknown user.UnknownGroupError
	switch {
	case err == nil && g.Gid == strconv.Itoa(os.Getegid()):
		o.Group = ""
	case errors.As(err, &unknown) && o.Group == defaultGroup:
		a.log.Warn("the socket keeps the daemon's own group: this host has no group " + defaultGroup)
		o.Group = ""
	}
	return o
}
