// A minimal resizer like imgproxy: Go's HTTP server, libvips, one worker per core and no cache.
// The encoder settings are the documented defaults of imgproxy: quality 80 (WebP 79), baseline JPEG with
// optimised tables, WebP at effort 4, and no metadata.
package main

/*
#cgo pkg-config: vips
#include <stdlib.h>
#include <vips/vips.h>

static int start(void) {
	if (VIPS_INIT("libvips-resizer")) return 1;
	vips_concurrency_set(1);
	vips_cache_set_max(0);
	return 0;
}

static int render(const char *path, int width, int height, const char *format, int quality, void **out,
	size_t *size) {
	VipsImage *image = NULL;
	int failed = vips_thumbnail(path, &image, width, "height", height, "crop", VIPS_INTERESTING_CENTRE, NULL);
	if (failed) return failed;
	if (format[0] == 'j')
		failed = vips_jpegsave_buffer(image, out, size, "Q", quality, "optimize_coding", TRUE, "strip", TRUE, NULL);
	else if (format[0] == 'w')
		failed = vips_webpsave_buffer(image, out, size, "Q", quality, "effort", 4, "strip", TRUE, NULL);
	else
		failed = vips_pngsave_buffer(image, out, size, "strip", TRUE, NULL);
	g_object_unref(image);
	vips_thread_shutdown();
	return failed;
}
*/
import "C"

import (
	"log"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"unsafe"
)

func main() {
	if C.start() != 0 {
		log.Fatal("libvips does not start")
	}
	workers := make(chan struct{}, runtime.NumCPU())
	root := os.Getenv("ROOT")
	http.HandleFunc("/health", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("/render", func(response http.ResponseWriter, request *http.Request) {
		workers <- struct{}{}
		defer func() { <-workers }()
		query := request.URL.Query()
		width, _ := strconv.Atoi(query.Get("width"))
		height, _ := strconv.Atoi(query.Get("height"))
		format := query.Get("format")
		quality, err := strconv.Atoi(query.Get("quality"))
		if err != nil {
			quality = map[string]int{"webp": 79}[format]
			if quality == 0 {
				quality = 80
			}
		}
		path := C.CString(filepath.Join(root, filepath.Base(query.Get("name"))))
		name := C.CString(format)
		defer C.free(unsafe.Pointer(path))
		defer C.free(unsafe.Pointer(name))
		var out unsafe.Pointer
		var size C.size_t
		// libvips keeps caches per thread.
		runtime.LockOSThread()
		failed := C.render(path, C.int(width), C.int(height), name, C.int(quality), &out, &size)
		runtime.UnlockOSThread()
		if failed != 0 {
			http.Error(response, C.GoString(C.vips_error_buffer()), http.StatusInternalServerError)
			return
		}
		defer C.g_free(C.gpointer(out))
		response.Header().Set("Content-Type", "image/"+format)
		response.Header().Set("Content-Length", strconv.Itoa(int(size)))
		response.Write(unsafe.Slice((*byte)(out), int(size)))
	})
	log.Fatal(http.ListenAndServe(os.Getenv("BIND"), nil))
}
