// What of this process lies in memory, given back to the system when it is not at work: what the heap holds free, and
// the pages of programs and libraries that only a start or a burst ran. Those come back from the page cache as they are
// run again, at the cost of a page fault for some 64 KiB.
//
//   io::give_back_memory();      // after a start or a burst; a fraction of a millisecond, so at most every second or
//   so
//
// Any thread. Nothing that was written is lost: code is mapped for reading alone.
#pragma once

namespace wary::io {

void give_back_memory();

}  // namespace wary::io
