// Package doctor looks for what keeps a daemon from delivering, before or after
// it is started: in its configuration, on its host, and at the org. It only
// reads; at the org it logs in and makes a handful of calls.
//
// Each finding has a stable code, and what is wrong has its remedy. It knows no
// flags and no terminal. [Run] is the way in:
//
//	findings := doctor.Run(ctx, doctor.Options{ConfigPath: path, Org: newOrg})
package doctor
