# Precompiled headers of the standard library and of what else nearly every file includes: parsing them is half of the time
# that clang takes for a file. They are not made with target_precompile_headers, whose header lies in the build tree: its
# path would be part of the result, and with it of what ccache compares, so that no clone could use what another compiled.

set(OUTBOARD_STANDARD_HEADERS
    algorithm array atomic bit cerrno charconv chrono coroutine cstddef cstdint cstring deque exception filesystem fstream
    functional limits map memory mutex optional set span sstream string string_view system_error thread utility vector
    fmt/format.h)

# outboard_precompile(NAME HEADERS names… [LINKS libraries…] [OPTIONS options…]): compiles the headers with the options of
# outboard_options, and with the definitions of the libraries.
function(outboard_precompile NAME)
    cmake_parse_arguments(ARG "" "" "HEADERS;LINKS;OPTIONS" ${ARGN})
    if(NOT OUTBOARD_PRECOMPILE)
        return()
    endif()
    set(HEADER ${CMAKE_BINARY_DIR}/precompiled/${NAME}.hpp)
    file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/precompiled)
    string(TOUPPER "${CMAKE_BUILD_TYPE}" CONFIGURATION)
    separate_arguments(COMMAND UNIX_COMMAND "${CMAKE_CXX_COMPILER} ${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_${CONFIGURATION}}")
    list(APPEND COMMAND -std=c++${CMAKE_CXX_STANDARD})
    foreach(LIBRARY outboard_options ${ARG_LINKS})
        get_target_property(DEFINITIONS ${LIBRARY} INTERFACE_COMPILE_DEFINITIONS)
        if(DEFINITIONS)
            list(TRANSFORM DEFINITIONS PREPEND -D)
            list(APPEND COMMAND ${DEFINITIONS})
        endif()
        get_target_property(OPTIONS ${LIBRARY} INTERFACE_COMPILE_OPTIONS)
        if(OPTIONS)
            list(APPEND COMMAND ${OPTIONS})
        endif()
    endforeach()
    list(APPEND COMMAND ${ARG_OPTIONS} -x c++-header)
    foreach(INCLUDED ${ARG_HEADERS})
        list(APPEND COMMAND -include ${INCLUDED})
    endforeach()
    if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
        set(OUTPUT ${HEADER}.pch)
        list(APPEND COMMAND -Xclang -fno-pch-timestamp -fpch-instantiate-templates)
        set(SUM "")
        set(USE -include-pch ${OUTPUT})
    else()
        # g++ never writes the same file twice; ccache compares this sum of what the file was made of.
        set(OUTPUT ${HEADER}.gch)
        set(SUM COMMAND ${CMAKE_COMMAND} -E env bash -o pipefail -c "\"$@\" -E -P /dev/null | sha256sum >${NAME}.hpp.gch.sum"
            sum ${COMMAND})
        set(USE -Winvalid-pch -include ${HEADER})
    endif()
    add_custom_command(OUTPUT ${OUTPUT}
        COMMAND ${COMMAND} -MD -MF ${NAME}.d -MT ${OUTPUT} /dev/null -o ${OUTPUT}
        ${SUM}
        DEPFILE ${CMAKE_BINARY_DIR}/precompiled/${NAME}.d
        WORKING_DIRECTORY ${CMAKE_BINARY_DIR}/precompiled
        COMMENT "Precompiling the headers of ${NAME}"
        COMMAND_EXPAND_LISTS VERBATIM)
    add_custom_target(precompiled_${NAME} DEPENDS ${OUTPUT})
    set_target_properties(precompiled_${NAME} PROPERTIES OUTBOARD_USE "${USE}")
endfunction()

# outboard_use_precompiled(TARGET NAME): every file of the target begins with the headers that outboard_precompile(NAME) compiled.
function(outboard_use_precompiled TARGET NAME)
    if(OUTBOARD_PRECOMPILE)
        get_target_property(USE precompiled_${NAME} OUTBOARD_USE)
        target_compile_options(${TARGET} PRIVATE ${USE})
        add_dependencies(${TARGET} precompiled_${NAME})
    endif()
endfunction()
