// The memory sanitizer sees no store by code that was compiled without it, and takes what such code has set for
// uninitialised. The linker redirects calls of those functions of libstdc++ that are no templates to the wrappers
// below (--wrap), which declare what such a function has stored. memory_sanitizer.cmake reads their names from
// this file.
#if defined(__has_feature)
#if __has_feature(memory_sanitizer)

#include <sanitizer/msan_interface.h>

#include <bits/stl_tree.h>
#include <filesystem>
#include <ios>
#include <list>
#include <locale>
#include <stdexcept>
#include <string>

namespace {

template <class T>
void declare_set(const T* object) {
  __msan_unpoison(object, sizeof(T));
}

}  // namespace

using Tree = std::_Rb_tree_node_base;
using List = std::__detail::_List_node_base;

#define WRAP(symbol, parameters)              \
  extern "C" void __real_##symbol parameters; \
  extern "C" void __wrap_##symbol parameters; \
  void __wrap_##symbol parameters

// The names of types.
extern "C" char* __real___cxa_demangle(const char* name, char* buffer, std::size_t* size, int* status);
extern "C" char* __wrap___cxa_demangle(const char* name, char* buffer, std::size_t* size, int* status);
char* __wrap___cxa_demangle(const char* name, char* buffer, std::size_t* size, int* status) {
  char* const text = __real___cxa_demangle(name, buffer, size, status);
  if (text != nullptr) __msan_unpoison_string(text);
  if (status != nullptr) declare_set(status);
  return text;
}

// A copy of the exception that is being handled, returned in memory of the caller.
extern "C" void** __real__ZSt17current_exceptionv(void** result);
extern "C" void** __wrap__ZSt17current_exceptionv(void** result);
void** __wrap__ZSt17current_exceptionv(void** result) {
  __real__ZSt17current_exceptionv(result);
  declare_set(result);
  return result;
}

// The nodes of std::map, std::set and std::list.
WRAP(_ZSt29_Rb_tree_insert_and_rebalancebPSt18_Rb_tree_node_baseS0_RS_,
     (bool left, Tree* node, Tree* parent, Tree& root)) {
  __real__ZSt29_Rb_tree_insert_and_rebalancebPSt18_Rb_tree_node_baseS0_RS_(left, node, parent, root);
  declare_set(node);
}
WRAP(_ZNSt8__detail15_List_node_base7_M_hookEPS0_, (List * node, List* next)) {
  __real__ZNSt8__detail15_List_node_base7_M_hookEPS0_(node, next);
  declare_set(node);
}

// Streams and locales.
WRAP(_ZNSt8ios_baseC2Ev, (std::ios_base * object)) {
  __real__ZNSt8ios_baseC2Ev(object);
  declare_set(object);
}
WRAP(_ZNSt6localeC1Ev, (std::locale * object)) {
  __real__ZNSt6localeC1Ev(object);
  declare_set(object);
}
WRAP(_ZSt14__convert_to_vIdEvPKcRT_RSt12_Ios_IostateRKP15__locale_struct,
     (const char* text, double& number, std::ios_base::iostate& state, const std::__c_locale& locale)) {
  __real__ZSt14__convert_to_vIdEvPKcRT_RSt12_Ios_IostateRKP15__locale_struct(text, number, state, locale);
  declare_set(&number);
}
WRAP(_ZNKSt5ctypeIcE13_M_widen_initEv, (const std::ctype<char>* facet)) {  // calls memcmp
  __msan_scoped_disable_interceptor_checks();
  __real__ZNKSt5ctypeIcE13_M_widen_initEv(facet);
  __msan_scoped_enable_interceptor_checks();
}
WRAP(_ZNKSt5ctypeIcE14_M_narrow_initEv, (const std::ctype<char>* facet)) {
  __msan_scoped_disable_interceptor_checks();
  __real__ZNKSt5ctypeIcE14_M_narrow_initEv(facet);
  __msan_scoped_enable_interceptor_checks();
}
WRAP(_ZNSt6localeC1ERKS_, (std::locale * object, const std::locale& other)) {
  __real__ZNSt6localeC1ERKS_(object, other);
  declare_set(object);
}

struct LocaleParts {  // as std::locale::_Impl, which is private
  int references;
  void** facets;
  std::size_t count;
  void** caches;
  char** names;
  static constexpr int kCategories = 12;

  void declare_all_set() const {
    declare_set(this);
    __msan_unpoison(facets, count * sizeof(void*));
    __msan_unpoison(caches, count * sizeof(void*));
    __msan_unpoison(names, kCategories * sizeof(char*));
    for (int category = 0; category < kCategories; ++category)
      if (names[category] != nullptr) __msan_unpoison_string(names[category]);
  }
};
WRAP(_ZNSt6locale5_ImplC1ERKS0_m, (LocaleParts * parts, const LocaleParts& other, std::size_t references)) {
  __real__ZNSt6locale5_ImplC1ERKS0_m(parts, other, references);
  parts->declare_all_set();
}
WRAP(_ZNSt6locale5_Impl16_M_install_facetEPKNS_2idEPKNS_5facetE,
     (LocaleParts * parts, const std::locale::id* id, const std::locale::facet* facet)) {
  __real__ZNSt6locale5_Impl16_M_install_facetEPKNS_2idEPKNS_5facetE(parts, id, facet);
  parts->declare_all_set();
}

// The library finds its own facets no more, as the programs have other std::locale::id.
struct Punctuation : std::numpunct<char> {
  Punctuation() {
    declare_set(&_M_data);
    declare_set(_M_data);
  }
};
struct Facets {
  Facets() {
    const std::locale punctuation(std::locale::classic(), new Punctuation);
    const std::locale output(punctuation, new std::num_put<char>);
    std::locale::global(std::locale(output, new std::num_get<char>));
  }
};
[[gnu::init_priority(101)]] const Facets facets;

// Paths.
WRAP(_ZNSt10filesystem7__cxx114path5_ListC1Ev, (void** list)) {
  __real__ZNSt10filesystem7__cxx114path5_ListC1Ev(list);
  declare_set(list);
}
WRAP(_ZNSt10filesystem7__cxx114path5_ListC1ERKS2_, (void** list, void* const* other)) {
  __real__ZNSt10filesystem7__cxx114path5_ListC1ERKS2_(list, other);
  declare_set(list);
}

// Exceptions, which keep a copy of their message.
#define WRAP_EXCEPTION(name, symbol_of_text, symbol_of_string)               \
  WRAP(symbol_of_text, (std::name * object, const char* message)) {          \
    __real_##symbol_of_text(object, message);                                \
    declare_set(object);                                                     \
    __msan_unpoison_string(object->what());                                  \
  }                                                                          \
  WRAP(symbol_of_string, (std::name * object, const std::string& message)) { \
    __real_##symbol_of_string(object, message);                              \
    declare_set(object);                                                     \
    __msan_unpoison_string(object->what());                                  \
  }
WRAP_EXCEPTION(invalid_argument, _ZNSt16invalid_argumentC1EPKc,
               _ZNSt16invalid_argumentC1ERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE)
WRAP_EXCEPTION(runtime_error, _ZNSt13runtime_errorC1EPKc,
               _ZNSt13runtime_errorC1ERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE)
WRAP_EXCEPTION(runtime_error, _ZNSt13runtime_errorC2EPKc,  // as the base of another
               _ZNSt13runtime_errorC2ERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE)
WRAP_EXCEPTION(out_of_range, _ZNSt12out_of_rangeC1EPKc,
               _ZNSt12out_of_rangeC1ERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE)
WRAP_EXCEPTION(logic_error, _ZNSt11logic_errorC1EPKc,
               _ZNSt11logic_errorC1ERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE)

#endif
#endif
