# Stand-in for the file of this name in a build of Slicer: the macros that the modules call.
# They refuse what Slicer's own refuse, and copy at configure time what Slicer's own copy at build time.

option(BUILD_TESTING "Register the tests of the modules" ON)

macro(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(_module "WITH_GENERIC_TESTS;WITH_SUBDIR;VERBOSE" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(_module_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "Unknown keywords given to slicerMacroBuildScriptedModule(): ${_module_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT _module_NAME)
    message(FATAL_ERROR "NAME is mandatory")
  endif()
  foreach(_file IN LISTS _module_SCRIPTS _module_RESOURCES)
    if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${_file}")
      message(FATAL_ERROR "slicerMacroBuildScriptedModule given nonexistent file '${_file}'")
    endif()
    set(_copy "${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}/${_file}")
    # All modules of an extension share one folder, and the later file would replace the earlier.
    if(EXISTS "${_copy}")
      message(FATAL_ERROR "'${_file}' of ${_module_NAME} has the path of a file of another module")
    endif()
    configure_file("${_file}" "${_copy}" COPYONLY)
  endforeach()
  install(
    DIRECTORY "${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}/"
    DESTINATION "${Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR}"
    )
endmacro()

function(slicer_add_python_unittest)
  cmake_parse_arguments(_test "" "SCRIPT;TESTNAME_PREFIX" "SLICER_ARGS" ${ARGN})
  if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${_test_SCRIPT}")
    message(FATAL_ERROR "slicer_add_python_unittest given nonexistent script '${_test_SCRIPT}'")
  endif()
  message(STATUS "Registered test ${_test_SCRIPT}")
endfunction()
