package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/release"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// configVariable is the one environment variable there is: the path of the
// configuration, when neither --config nor --data is given.
const configVariable = "STILE_CONFIG"

// errNoFolder: nobody said which data folder is meant.
var errNoFolder = errors.New("no data folder is named")

// load reads the configuration that the flags name.
func (a *app) load() (*config.Config, error) {
	path := a.configFile()
	cfg, err := config.Load(path)
	if errors.Is(err, fs.ErrNotExist) {
		switch {
		case a.config != "":
			return nil, failure(node.NotFound, "look at the path again, or name the data folder with --data", "there is no configuration %q", a.config)
		case a.data != "":
			if _, err := os.Stat(a.data); err != nil {
				return nil, failure(node.NotFound, "look at the path again; \"stile init\" makes a data folder", "there is no folder %q", a.data)
			}
			return nil, failure(node.NotFound, "stile init --data "+a.data+" --council YOUR-DOMAIN", "the folder %q holds no node: it has no %s", a.data, config.FileName)
		}
		return nil, errors.Join(failure(node.NotFound, "name the data folder with --data; \"stile init\" makes one",
			"no data folder is named, and the folder you stand in is none"), errNoFolder)
	}
	if err != nil {
		return nil, err
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(cfg.Limits.Heap())
	}
	if a.data != "" && a.config != "" {
		if err := move(cfg, a.data); err != nil {
			return nil, err
		}
	}
	return cfg, nil
}

// move lets --data win over the data folder that the file names, and takes
// along what stands in it by default.
func move(cfg *config.Config, data string) error {
	data, err := filepath.Abs(data)
	if err != nil {
		return err
	}
	if cfg.Directory == filepath.Join(cfg.Data, "directory") {
		cfg.Directory = filepath.Join(data, "directory")
	}
	if cfg.AdminSocket == filepath.Join(cfg.Data, "admin.sock") {
		cfg.AdminSocket = filepath.Join(data, "admin.sock")
	}
	cfg.Data = data
	return nil
}

// A connection is somebody who carries out operations until it is closed.
type connection struct {
	node.Operations
	io.Closer
	taker interface {
		Import(context.Context, node.ImportRequest) (*node.Import, error)
		Backup(context.Context, node.BackupRequest, io.Writer) (node.BackupReply, error)
	}
}

// node returns the operations of the node that the flags name. Each connects by
// itself, so that the data folder is not kept open in between.
func (a *app) node() node.Operations {
	return node.Each(func(ctx context.Context) (o node.Operations, c io.Closer, err error) {
		n, err := a.connect(ctx)
		if err != nil {
			return o, nil, err
		}
		return n.Operations, n, nil
	})
}

// connect returns who carries out operations: the running node when one
// answers, and else the data folder opened in this process. The caller closes
// it.
func (a *app) connect(ctx context.Context) (*connection, error) {
	cfg, err := a.load()
	if err != nil {
		return nil, err
	}
	// The folder may be held by another short command, or by a node that is
	// about to answer: both are over in a moment.
	patience := time.NewTimer(3 * time.Second)
	defer patience.Stop()
	for {
		client, err := node.Dial(ctx, cfg.AdminSocket)
		if err == nil {
			return &connection{client.Operations, client, client}, nil
		}
		if !errors.Is(err, node.ErrNotRunning) {
			return nil, err
		}
		n, err := a.open(cfg, a.err, slog.LevelWarn)
		if errors.Is(err, ledger.ErrReadOnly) || errors.Is(err, ledger.ErrFull) {
			// What is there can be looked at all the same.
			why := err
			if n, err = a.openReading(cfg); err != nil {
				return nil, errors.Join(why, err)
			}
			a.say("%v; so the folder is open for reading alone", why)
		}
		if err == nil {
			return &connection{n.Operations, n, n}, nil
		}
		if !errors.Is(err, ledger.ErrInUse) {
			return nil, err
		}
		select {
		case <-patience.C:
			return nil, err
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// private has this process make what it makes in a data folder for its owner alone.
func (a *app) private() {
	if a.exit != nil { // else the process is a test's
		closeToOthers(true)
	}
}

// open opens the data folder in this process. The log goes to w from the given
// level, or from the configured one when that is higher.
func (a *app) open(cfg *config.Config, w io.Writer, least slog.Level) (*node.Node, error) {
	a.private()
	return node.Open(cfg, node.Options{Log: logger(cfg, w, levelOf(cfg, least)), Version: release.Of().String(), Conditions: feedConditions(cfg)})
}

// openReading opens the data folder in this process for reading alone.
func (a *app) openReading(cfg *config.Config) (*node.Node, error) {
	return node.Open(cfg, node.Options{
		Log: logger(cfg, a.err, levelOf(cfg, slog.LevelError)), Version: release.Of().String(), Conditions: feedConditions(cfg), Reading: true,
	})
}

// levelOf returns the level of the log as it is configured, or least when that is higher.
func levelOf(cfg *config.Config, least slog.Level) slog.Level {
	var level slog.Level
	if level.UnmarshalText([]byte(cfg.Log.Level)) != nil || level < least {
		level = least
	}
	return level
}

func logger(cfg *config.Config, w io.Writer, level slog.Leveler) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if cfg.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(name.JSON(w), o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
