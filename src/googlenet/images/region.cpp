// A part of a JPEG by the libjpeg-turbo that Pillow brings along: of what lies outside of the part
// the codes are read, for damage must be found wherever it is, but no pixels are computed.
//
// The library is asked for by the binary interface of libjpeg 6b, which libjpeg-turbo keeps in its
// `libjpeg.so.62`; it compares the version and the size of the structure before it does anything.
#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace {

// What the library knows of errors, and of a photo: of the second the part that is used here.
struct Errors {
  void (*leave)(void*);
  void (*remark)(void*, int level);
  void (*print)(void*);
  void (*format)(void*, char*);
  void (*reset)(void*);
  int code;
  union {
    int numbers[8];
    char text[80];
  } parameters;
  int level;
  long warnings;
  const void* messages;
  int last_message;
  const void* more_messages;
  int first_more, last_more;
};

struct Head {
  Errors* errors;
  void *memory, *progress, *client;
  int reads, state;
  void* source;
  unsigned width, height;
  int components, stored_colours, colours;
  unsigned numerator, denominator;
  double gamma;
  int buffered, raw, transform, fancy_upsampling, smoothing, quantised, dither, two_passes;
  int wanted_colours, quantiser_1, quantiser_external, quantiser_2;
  unsigned output_width, output_height;
};

constexpr int VERSION = 62, RGB = 2, HEADER_READ = 1;
constexpr size_t SIZE = 632;  // where pointers and `long` have eight bytes
struct Photo : Head {
  unsigned char rest[SIZE > sizeof(Head) ? SIZE - sizeof(Head) : 1];
};

struct Library {  // what Python found in it
  Errors* (*standard_errors)(Errors*);
  void (*create)(Photo*, int version, size_t size);
  void (*take)(Photo*, const uint8_t* content, unsigned long bytes);
  int (*read_header)(Photo*, int must_be_photo);
  int (*start)(Photo*);
  void (*keep_columns)(Photo*, unsigned* first, unsigned* count);
  unsigned (*skip_rows)(Photo*, unsigned count);
  unsigned (*read_rows)(Photo*, uint8_t** rows, unsigned most);
  int (*finish)(Photo*);
  void (*destroy)(Photo*);
};

struct Leaving : Errors {
  std::jmp_buf place;
};

void leave(void* photo) {
  std::longjmp(static_cast<Leaving*>(static_cast<Photo*>(photo)->errors)->place, 1);
}

void remark(void* photo, int level) {  // below 0: the file is damaged
  if (level < 0) leave(photo);
}

void silent(void*) {}

enum Status { FINE, DAMAGED, OTHER };
struct Part { int64_t left, top, right, bottom, width, height; };  // the last two of the whole

bool read_rows(const Library& library, Photo& photo, uint8_t* to, int64_t pitch, int64_t rows) {
  constexpr int64_t AT_ONCE = 16;
  uint8_t* places[AT_ONCE];
  while (rows > 0) {
    const int64_t most = rows < AT_ONCE ? rows : AT_ONCE;
    for (int64_t i = 0; i < most; i++) places[i] = to + i * pitch;
    const int64_t found = library.read_rows(&photo, places, unsigned(most));
    if (found < 1) return false;
    to += found * pitch;
    rows -= found;
  }
  return true;
}

// The part, and the columns before it that the library decodes along, from `first` on.
Status decode(const Library& library, const uint8_t* content, int64_t bytes, int denominator,
              const Part& part, uint8_t* to, int64_t pitch, int64_t* first) {
  thread_local std::vector<uint8_t> row;
  row.resize(size_t(pitch));
  Leaving errors;
  Photo photo;
  library.standard_errors(&errors);
  errors.leave = leave;
  errors.remark = remark;
  errors.print = silent;
  photo.errors = &errors;
  photo.memory = nullptr;  // what `destroy` looks at, were `create` to refuse
  if (setjmp(errors.place)) {
    library.destroy(&photo);
    return DAMAGED;
  }
  library.create(&photo, VERSION, SIZE);
  library.take(&photo, content, static_cast<unsigned long>(bytes));
  bool as_asked = library.read_header(&photo, 1) == HEADER_READ && photo.components == 3;
  if (as_asked) {
    photo.colours = RGB;
    photo.numerator = 1;
    photo.denominator = unsigned(denominator);
    library.start(&photo);
    const int64_t width = photo.output_width, height = photo.output_height;
    as_asked = width == part.width && height == part.height && part.left >= 0 && part.top >= 0 &&
               part.left < part.right && part.top < part.bottom &&
               part.right <= width && part.bottom <= height;
    unsigned left = unsigned(part.left), count = unsigned(part.right - part.left);
    if (as_asked && count < width) library.keep_columns(&photo, &left, &count);
    as_asked = as_asked && int64_t(count) * 3 <= pitch;
    *first = left;
    if (as_asked && part.top) library.skip_rows(&photo, unsigned(part.top));
    as_asked = as_asked && read_rows(library, photo, to, pitch, part.bottom - part.top);
    if (as_asked && part.bottom < height) {
      // The library reads no codes of rows that it skips at the end: all but the last.
      if (part.bottom < height - 1) library.skip_rows(&photo, unsigned(height - 1 - part.bottom));
      as_asked = read_rows(library, photo, row.data(), pitch, 1);
    }
    if (as_asked) library.finish(&photo);
  }
  library.destroy(&photo);
  return as_asked ? FINE : OTHER;
}

}  // namespace

extern "C" {

// `found`: the status, and the column at which the rows written begin.
void googlenet_region(const Library* library, const uint8_t* content, int64_t bytes,
                      int denominator, const Part* part, uint8_t* to, int64_t pitch,
                      int64_t* found) {
  found[0] = sizeof(void*) == 8 && sizeof(long) == 8 && sizeof(Photo) == SIZE
                 ? decode(*library, content, bytes, denominator, *part, to, pitch, found + 1)
                 : OTHER;
}
}
