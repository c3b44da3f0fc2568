# The hardening set, checked from outside on the finished binaries by tests/elf.
add_compile_options(
  -Wall -Wextra -Wformat=2 -Wconversion -Wsign-conversion -Wimplicit-fallthrough
  -fno-omit-frame-pointer -fno-strict-aliasing)
if(WARY_WERROR)
  add_compile_options(-Werror)
endif()
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  # libstdc++ 12 deprecates what its own algorithms use.
  add_compile_options(-Wno-deprecated-declarations)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 reports these in libstdc++'s own inlined code; clang and the sanitizers cover the ground.
  add_compile_options(-Wbidi-chars=any -Wshadow=local -Wno-restrict -Wno-stringop-overflow -Wno-array-bounds
    -Wno-maybe-uninitialized -Wno-dangling-pointer -Wno-stringop-overread)
endif()
if(CMAKE_UNITY_BUILD AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # A type of a .cc may hold what is in its anonymous namespace; g++ takes a .cc that is compiled among others for a header.
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-Wno-subobject-linkage>)
endif()
add_compile_options(-ffile-prefix-map=${CMAKE_SOURCE_DIR}=.)
if(WARY_FUZZ AND WARY_FUZZ_FAST)
  add_compile_options(-fsanitize=fuzzer-no-link -g1 -O2)
  add_link_options(-fuse-ld=lld-19)
elseif(WARY_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -g1 -O1)
  add_link_options(-fsanitize=address,undefined -fuse-ld=lld-19)
elseif(WARY_SANITIZE)
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=undefined -g1 -O1)
  add_link_options(-fsanitize=address,undefined)
elseif(WARY_SANITIZE_THREADS)
  add_compile_options(-fsanitize=thread -g1 -O1)
  add_link_options(-fsanitize=thread)
else()
  add_compile_options(-D_GLIBCXX_ASSERTIONS -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
    -fstack-protector-strong -fstack-clash-protection -fcf-protection=full
    -ftrivial-auto-var-init=zero)
endif()
add_link_options(-Wl,-z,relro,-z,now,-z,noexecstack,-z,nodlopen)
add_link_options($<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:-pie>)
find_program(MOLD mold)
if(MOLD AND NOT WARY_FUZZ)
  add_link_options(-fuse-ld=mold)
endif()
find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()
