package simulator

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// API versions times ten. Summer '25 retired those before 31, Summer '27 ends
// the support of those before 41.
const (
	firstVersion   = 310
	lastDeprecated = 400
	lastVersion    = 680

	sinceBatch             = 340 // and trees
	sinceComposite         = 380
	sinceIngest            = 410
	sinceCollections       = 420
	sinceUpsertCollections = 460
	sinceCreated           = 460 // upserts tell what they did
	sinceGraphs            = 500
	sinceStrictReferences  = 520 // referenceIds are checked, and references may be of nulls
)

// parseVersion reads v66.0; 0 is no version.
func parseVersion(segment string) int {
	number, ok := strings.CutPrefix(segment, "v")
	major, minor, dotted := strings.Cut(number, ".")
	n, err := strconv.Atoi(major)
	if !ok || !dotted || minor != "0" || err != nil || n < 1 || n > 999 {
		return -1
	}
	return n * 10
}

func checkVersion(version int) *answer {
	switch {
	case version == 0: // a path without one
		return nil
	case version < 0 || version > lastVersion:
		return notFound()
	case version < firstVersion:
		return errorAnswer(http.StatusGone, "UNSUPPORTED_API_VERSION", "This API version is no longer supported.")
	default:
		return nil
	}
}

func versionPath(version int) string { return fmt.Sprintf("/services/data/v%d.0", version/10) }

// listVersions answers GET /services/data/.
func listVersions(*Simulator, *request) *answer {
	type entry struct {
		Label   string `json:"label"`
		URL     string `json:"url"`
		Version string `json:"version"`
	}
	var all []entry
	for v := firstVersion; v <= lastVersion; v += 10 {
		all = append(all, entry{release(v / 10), versionPath(v), fmt.Sprintf("%d.0", v/10)})
	}
	return valueAnswer(http.StatusOK, all)
}

// release names the season of a version: three a year since Spring '11, 21.0.
func release(version int) string {
	since := version - 21
	year := 11 + since/3
	switch since % 3 {
	case 0:
		return fmt.Sprintf("Spring '%d", year)
	case 1:
		return fmt.Sprintf("Summer '%d", year)
	default:
		return fmt.Sprintf("Winter '%d", year+1)
	}
}

// listResources answers GET /services/data/vXX.X/.
func listResources(s *Simulator, r *request) *answer {
	base := versionPath(r.version)
	return valueAnswer(http.StatusOK, map[string]string{
		"sobjects":  base + "/sobjects",
		"query":     base + "/query",
		"queryAll":  base + "/queryAll",
		"composite": base + "/composite",
		"limits":    base + "/limits",
		"jobs":      base + "/jobs",
		"identity":  baseURL(r) + "/id/" + s.org.identity() + "/" + s.org.user,
	})
}

// showLimits answers GET /services/data/vXX.X/limits/.
func showLimits(s *Simulator, _ *request) *answer {
	type limit struct{ Max, Remaining int64 }
	calls := s.calls.snapshot()
	batches := s.jobs.batchesLeft()
	return valueAnswer(http.StatusOK, map[string]limit{
		"DailyApiRequests":              {calls.Max, calls.Max - calls.Used},
		"DailyBulkApiBatches":           {s.cfg.BatchLimit, batches},
		"DailyBulkV2QueryJobs":          {10_000, 10_000},
		"DailyBulkV2QueryFileStorageMB": {976_562, 976_562},
		"DataStorageMB":                 {5_120, 5_120},
		"FileStorageMB":                 {20_480, 20_480},
		"HourlyPublishedPlatformEvents": {50_000, 50_000},
		"DailyAsyncApexExecutions":      {250_000, 250_000},
	})
}
