#include "base/byte_queue.h"

#include <doctest/doctest.h>

#include <string>

using namespace wary;

TEST_CASE("what is put comes out in its order, however it is taken") {
  ByteQueue queue;
  std::string put, taken;
  for (std::size_t i = 0; i < 2'000; ++i) {
    const std::string piece(i % 97, static_cast<char>('a' + i % 26));
    queue.put(as_bytes(piece));
    put += piece;
    const std::size_t size = std::min(queue.view().size(), i * 7 % 61);
    taken += as_text(queue.view().first(size));
    queue.consume(size);
  }
  taken += as_text(queue.view());
  queue.consume(queue.view().size());
  CHECK(taken == put);
  CHECK(queue.is_empty());
}

TEST_CASE("a queue that is never empty does not grow by what went through it") {
  ByteQueue queue;
  const std::string piece(1'000, 'x');
  for (int i = 0; i < 5; ++i) queue.put(as_bytes(piece));
  for (int i = 0; i < 10'000; ++i) {
    queue.put(as_bytes(piece));
    queue.consume(piece.size());
  }
  CHECK(queue.view().size() == 5'000);
  CHECK(queue.held_bytes() < 20'000);
}

TEST_CASE("an empty queue keeps the room that it is told to keep") {
  ByteQueue queue;
  const std::string piece(10'000, 'x');
  queue.put(as_bytes(piece));
  queue.drop_room(0);
  CHECK(queue.held_bytes() >= 10'000);  // it is not empty
  queue.consume(piece.size());
  queue.drop_room(20'000);
  CHECK(queue.held_bytes() >= 10'000);
  queue.drop_room(100);
  CHECK(queue.held_bytes() == 0);
}
